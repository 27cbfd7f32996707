"""Sign-in with Google, if configured: accounts for users of the allowed domains."""
