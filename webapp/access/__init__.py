"""Every request passes here: who may read what, rate limits, response headers, errors."""
