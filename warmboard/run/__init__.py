"""One tracked run: its start, its end, and what is sent later."""
