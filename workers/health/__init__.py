"""Health of our processes: who writes the heartbeats, and the checks that read them, by command and over HTTP."""
