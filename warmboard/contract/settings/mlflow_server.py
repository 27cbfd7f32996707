"""The settings that only the MLflow server reads."""

from __future__ import annotations

from warmboard.contract.settings.parsers import boolean, integer, optional
from warmboard.contract.settings.setting import Setting

MLFLOW_BACKEND_STORE_URI = Setting(
    "MLFLOW_BACKEND_STORE_URI",
    str,
    None,
    "The tracking server's database: postgresql://… or sqlite:///….",
    ("mlflow_server",),
    secret=True,
)
MLFLOW_ARTIFACT_ROOT = Setting(
    "MLFLOW_ARTIFACT_ROOT",
    str,
    None,
    "Where the tracking server keeps artifacts: gs://… or a folder.",
    ("mlflow_server",),
)
MLFLOW_WORKERS = Setting("MLFLOW_WORKERS", integer(1, 64), "2", "How many processes serve MLflow.", ("mlflow_server",))
MLFLOW_HOST = Setting(
    "MLFLOW_HOST", str, "127.0.0.1", "The address MLflow listens on; 0.0.0.0 in a container.", ("mlflow_server",)
)
MLFLOW_PORT = Setting("MLFLOW_PORT", integer(1, 65535), "5000", "The port MLflow listens on.", ("mlflow_server",))
MLFLOW_ALLOWED_HOSTS = Setting(
    "MLFLOW_ALLOWED_HOSTS",
    optional,
    "",
    "Host names that MLflow accepts, with ports, separated by commas. Unset: localhost and private addresses.",
    ("mlflow_server",),
)
MLFLOW_BASIC_AUTH = Setting(
    "MLFLOW_BASIC_AUTH",
    boolean,
    "false",
    "True: every route requires MLflow's basic authentication. MLflow's own settings name the administrator and the "
    "secret key.",
    ("mlflow_server",),
)
