"""A program that trains two-tower recommenders. It tracks each run with `warmboard`, as any training script would."""
