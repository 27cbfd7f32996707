"""The workers' side of Pub/Sub: its clients, its resources, seeks and snapshots, dead letters."""
