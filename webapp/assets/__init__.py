"""Static files and templates as they are sent: one script and one style sheet a page."""
