"""Everything on this machine, with embedded defaults: what `make up` and `make demo` run."""
