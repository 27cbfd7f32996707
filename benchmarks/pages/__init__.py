"""One run's page in a real browser, compared with the pages of other tools."""
