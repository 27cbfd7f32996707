"""Static files: one script and one style sheet a page."""
