"""What JSON answers are made of, and the description of the API: OpenAPI 3.1 from the views, and a page of it."""
