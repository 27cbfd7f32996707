"""One run: its page and its JSON API."""
