"""Who may see which experiments: everybody all of them, but for those that are restricted to groups."""
