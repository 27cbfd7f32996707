"""The list of runs: query language, order, columns, pages, files and JSON."""
