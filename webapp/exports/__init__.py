"""A whole run as a file: every metric at full resolution, as JSON, CSV or Parquet."""
