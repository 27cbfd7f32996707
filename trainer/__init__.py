"""A program that trains two-tower recommenders; it tracks each run with `warmboard`, as any training script would."""
