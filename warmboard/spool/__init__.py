"""A run's values between the training and MLflow: a queue in memory, then a file on this machine, the spool."""

from warmboard.spool.buffer import Buffer
from warmboard.spool.delivery import Delivery
from warmboard.spool.records import Ended, SpooledRun
from warmboard.spool.spool import Spool

__all__ = ["Buffer", "Delivery", "Ended", "Spool", "SpooledRun"]
