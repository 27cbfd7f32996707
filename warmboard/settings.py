"""The library's settings, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from warmboard.contract import settings as contract


@dataclass(frozen=True)
class Settings:
    """The addresses and names that a training uses. ``warmboard.contract.settings`` describes each setting."""

    mlflow_tracking_uri: str
    mlflow_tracking_server: str
    mlflow_tracking_username: str | None
    mlflow_tracking_password: str | None = field(repr=False)
    mlflow_tracking_token: str | None = field(repr=False)
    mlflow_tracking_client_cert_path: str | None
    mlflow_ready_seconds: int
    mlflow_experiment_name: str
    mlflow_run_name: str
    mlflow_ui_urls: Mapping[str, str]
    webapp_url: str
    google_cloud_project: str
    pubsub_emulator_host: str | None
    pubsub_topic: str
    storage_emulator_host: str | None
    traces_collector: str | None
    output_uri: str
    spool_dir: Path
    live_events: bool
    log_level: str

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the environment. Raises warmboard.contract.settings.SettingError, which names the variable."""
        return cls(
            mlflow_tracking_uri=contract.MLFLOW_TRACKING_URI.read(environ),
            mlflow_tracking_server=contract.MLFLOW_TRACKING_SERVER.read(environ),
            mlflow_tracking_username=contract.MLFLOW_TRACKING_USERNAME.read(environ),
            mlflow_tracking_password=contract.MLFLOW_TRACKING_PASSWORD.read(environ),
            mlflow_tracking_token=contract.MLFLOW_TRACKING_TOKEN.read(environ),
            mlflow_tracking_client_cert_path=contract.MLFLOW_TRACKING_CLIENT_CERT_PATH.read(environ),
            mlflow_ready_seconds=contract.MLFLOW_READY_SECONDS.read(environ),
            mlflow_experiment_name=contract.MLFLOW_EXPERIMENT_NAME.read(environ),
            mlflow_run_name=contract.MLFLOW_RUN_NAME.read(environ),
            mlflow_ui_urls=contract.MLFLOW_UI_URLS.read(environ),
            webapp_url=contract.WEBAPP_URL.read(environ),
            google_cloud_project=contract.GOOGLE_CLOUD_PROJECT.read(environ),
            pubsub_emulator_host=contract.PUBSUB_EMULATOR_HOST.read(environ),
            pubsub_topic=contract.PUBSUB_TOPIC.read(environ),
            storage_emulator_host=contract.STORAGE_EMULATOR_HOST.read(environ),
            traces_collector=contract.OTEL_EXPORTER_OTLP_ENDPOINT.read(environ),
            output_uri=contract.OUTPUT_URI.read(environ),
            spool_dir=contract.SPOOL_DIR.read(environ),
            live_events=contract.LIVE_EVENTS.read(environ),
            log_level=contract.LOG_LEVEL.read(environ),
        )
