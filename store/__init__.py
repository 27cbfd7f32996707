"""Storage of runs and warm entries: Django tables, with a copy in Redis. Read and write by `store.warm`."""
