"""docker-compose.yml on a real container engine: `make compose-test`. `make test` doesn't run it: it takes 20 minutes.

What can be checked without an engine is in ``tests/deploy/``.
"""
