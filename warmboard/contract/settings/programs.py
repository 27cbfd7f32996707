"""The settings of a run's files and of logs, which several programs read."""

from __future__ import annotations

from warmboard.contract.settings.parsers import choice, folder, integer, optional, ui_addresses
from warmboard.contract.settings.setting import Setting

OUTPUT_URI = Setting(
    "OUTPUT_URI",
    folder,
    ".warmboard/output",
    "The folder of runs' files, such as mlflow_info.json: gs://BUCKET/PATH or a folder. The workers' sweep looks there"
    " for runs that no event announced.",
    ("trainer", "workers"),
)
STORAGE_EMULATOR_HOST = Setting(
    "STORAGE_EMULATOR_HOST",
    optional,
    "",
    "Address of a Cloud Storage emulator, http://HOST:PORT. Unset: Google's Cloud Storage.",
    ("trainer", "workers"),
)
LOG_FORMAT = Setting(
    "LOG_FORMAT",
    choice("text", "json"),
    "text",
    "How log messages are written: as lines of text, or as JSON with the fields that Google Cloud Logging knows.",
    ("workers", "webapp"),
)
METRICS_HOST = Setting(
    "METRICS_HOST", str, "127.0.0.1", "The address on which Prometheus metrics are served.", ("workers", "webapp")
)
METRICS_PORT = Setting(
    "METRICS_PORT",
    integer(0, 65_535),
    "0",
    "The port on which Prometheus metrics are served, without authentication; never the public one. 0: none.",
    ("workers", "webapp"),
)
LOG_LEVEL = Setting(
    "LOG_LEVEL",
    choice("DEBUG", "INFO", "WARNING", "ERROR"),
    "INFO",
    "The min level of log messages.",
    ("trainer", "workers", "webapp"),
)
OTEL_EXPORTER_OTLP_ENDPOINT = Setting(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    optional,
    "",
    "The address of an OpenTelemetry collector that takes OTLP over HTTP, http://HOST:4318, for traces. Unset: nothing"
    " is traced. OpenTelemetry's SDK reads its other variables itself.",
    ("trainer", "workers"),
)
MLFLOW_UI_URLS = Setting(
    "MLFLOW_UI_URLS",
    ui_addresses,
    "",
    "Where people open MLflow, by the name of the tracking server: NAME=ADDRESS, separated by commas, for links on the"
    " webapp's pages and in a training's last lines; for example default=https://mlflow.example.org.",
    ("webapp", "trainer"),
)
