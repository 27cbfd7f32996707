"""Pages and JSON over warm entries: reads the store and renders. It never calls another service."""
