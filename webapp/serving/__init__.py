"""Between the server (granian, RSGI) and Django (WSGI): no client can hold a thread by sending or reading slowly."""
