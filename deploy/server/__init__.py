"""``warmboard-server``: every part on this machine, beside an MLflow that is there already."""
