"""Personal access tokens, which programs send instead of a session. They are read-only."""
