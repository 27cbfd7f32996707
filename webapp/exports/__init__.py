"""Exports of a run: all metrics at full resolution, as JSON, CSV or Parquet."""
