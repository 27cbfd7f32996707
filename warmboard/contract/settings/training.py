"""What only a training reads."""

from __future__ import annotations

from warmboard.contract.settings.parsers import boolean, integer, local_path
from warmboard.contract.settings.setting import Setting

MLFLOW_EXPERIMENT_NAME = Setting(
    "MLFLOW_EXPERIMENT_NAME", str, "two-tower", "The MLflow experiment that new runs belong to.", ("trainer",)
)
MLFLOW_RUN_NAME = Setting(
    "MLFLOW_RUN_NAME", str, "quick-test", "A run's name begins with it; the quick-test ID follows.", ("trainer",)
)
MLFLOW_READY_SECONDS = Setting(
    "MLFLOW_READY_SECONDS",
    integer(0, 3600),
    "120",
    "So long a training waits for its tracking server before it begins without one.",
    ("trainer",),
)
SPOOL_DIR = Setting(
    "SPOOL_DIR",
    local_path,
    ".warmboard/spool",
    "A folder on this machine where a training keeps what MLflow has not taken yet.",
    ("trainer",),
)
LIVE_EVENTS = Setting(
    "LIVE_EVENTS",
    boolean,
    "true",
    "False: a training publishes nothing before its end, and its page is not live.",
    ("trainer",),
)
