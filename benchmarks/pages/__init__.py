"""One run's page in a real browser, beside the pages of others."""
