"""A client of MLflow's REST API without the ``mlflow`` package: `TrackingClient`, and the values that it logs."""

from warmboard.tracking.client import TrackingClient
from warmboard.tracking.log import Fits, Log
from warmboard.tracking.retry import Retry
from warmboard.tracking.values import Batch, Metric

__all__ = ["Batch", "Fits", "Log", "Metric", "Retry", "TrackingClient"]
