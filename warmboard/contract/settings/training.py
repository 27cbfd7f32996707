"""The settings that only a training reads."""

from __future__ import annotations

from warmboard.contract.settings.parsers import address, boolean, integer, local_path
from warmboard.contract.settings.setting import Setting

MLFLOW_EXPERIMENT_NAME = Setting(
    "MLFLOW_EXPERIMENT_NAME", str, "two-tower", "The MLflow experiment of new runs.", ("trainer",)
)
MLFLOW_RUN_NAME = Setting(
    "MLFLOW_RUN_NAME",
    str,
    "quick-test",
    "The start of a run's name. The quick-test ID follows, or the start time.",
    ("trainer",),
)
MLFLOW_READY_SECONDS = Setting(
    "MLFLOW_READY_SECONDS",
    integer(0, 3600),
    "120",
    "How many seconds a training waits for its tracking server before it starts without one.",
    ("trainer",),
)
SPOOL_DIR = Setting(
    "SPOOL_DIR",
    local_path,
    ".warmboard/spool",
    "A folder on this machine, where a training keeps the values that are not in MLflow yet.",
    ("trainer",),
)
WEBAPP_URL = Setting(
    "WEBAPP_URL",
    lambda text: text and address("http", "https")(text).rstrip("/"),
    "",
    "Where people open the webapp: a training's last lines then have its page, e.g. from https://warmboard.example.org.",
    ("trainer",),
)
LIVE_EVENTS = Setting(
    "LIVE_EVENTS",
    boolean,
    "true",
    "False: a training publishes no event before its end, and its page is not live.",
    ("trainer",),
)
