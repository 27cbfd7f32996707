"""The API described by itself: OpenAPI 3.1 made of what the views declare, and a page that reads it to people."""
