"""What makes the documentation a site, and its reference pages: `docs/site/`."""
