"""A tracked run: its start, its end, and sending values later."""

from warmboard.run.signals import INTERRUPTED, TERMINATED, Termination
from warmboard.run.start import start_run
from warmboard.run.tracked import TrackedRun

__all__ = ["INTERRUPTED", "TERMINATED", "Termination", "TrackedRun", "start_run"]
