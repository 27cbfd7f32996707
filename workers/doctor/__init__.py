"""``python -m workers doctor``: looks at every dependency and setting; names the cause and the fix of each fault."""
