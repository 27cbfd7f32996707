"""Personal access tokens: what a program sends instead of a session. They read the API and do nothing else."""
