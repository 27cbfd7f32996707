"""What every request passes through: authentication, rights, rate limits, response headers and errors."""
