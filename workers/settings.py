"""The workers' settings, from the environment. ``warmboard/contract/settings/`` describes each variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

import django

from warmboard.contract import settings as setting
from workers.fetch.budget import Limits
from workers.fetch.server import TrackingServer


@dataclass(frozen=True)
class Settings:
    tracking_servers: Mapping[str, TrackingServer]
    """By name. Events name a server; only this table has addresses and credentials."""
    tracking_server: str
    """The name of the server at MLFLOW_TRACKING_URI."""
    redis_url: str
    project: str
    topic: str
    subscription: str
    pubsub_emulator_host: str | None
    epoch_sample_interval: int
    overview_points: int
    fetch_concurrency: int
    fetch_limits: Limits
    warm_attempts: int
    recovery_runs_per_second: int
    output_uri: str
    storage_emulator_host: str | None
    sweep_seconds: int
    heartbeat_age_seconds: int
    discover_seconds: int
    discover_days: int
    backfill_runs_per_second: int
    retention_days: int
    inbox_retention_days: int
    subscriber_heartbeat: Path
    worker_heartbeat: Path
    beat_heartbeat: Path
    health_port: int
    metrics_host: str
    metrics_port: int
    worker_max_megabytes: int
    traces_collector: str | None
    log_level: str
    log_format: str

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read and check all settings. Raises SettingError, which names the variable."""
        return cls(
            tracking_servers=_tracking_servers(environ),
            tracking_server=setting.MLFLOW_TRACKING_SERVER.read(environ),
            redis_url=setting.REDIS_URL.read(environ),
            project=setting.GOOGLE_CLOUD_PROJECT.read(environ),
            topic=setting.PUBSUB_TOPIC.read(environ),
            subscription=setting.PUBSUB_SUBSCRIPTION.read(environ),
            pubsub_emulator_host=setting.PUBSUB_EMULATOR_HOST.read(environ),
            epoch_sample_interval=setting.EPOCH_SAMPLE_INTERVAL.read(environ),
            overview_points=setting.OVERVIEW_POINTS.read(environ),
            fetch_concurrency=setting.FETCH_CONCURRENCY.read(environ),
            fetch_limits=Limits(setting.FETCH_SECONDS.read(environ), setting.FETCH_MAX_BYTES.read(environ)),
            warm_attempts=setting.WARM_ATTEMPTS.read(environ),
            recovery_runs_per_second=setting.RECOVERY_RUNS_PER_SECOND.read(environ),
            output_uri=setting.OUTPUT_URI.read(environ),
            storage_emulator_host=setting.STORAGE_EMULATOR_HOST.read(environ),
            sweep_seconds=setting.SWEEP_SECONDS.read(environ),
            heartbeat_age_seconds=setting.HEARTBEAT_AGE_SECONDS.read(environ),
            discover_seconds=setting.DISCOVER_SECONDS.read(environ),
            discover_days=setting.DISCOVER_DAYS.read(environ),
            backfill_runs_per_second=setting.BACKFILL_RUNS_PER_SECOND.read(environ),
            retention_days=setting.RETENTION_DAYS.read(environ),
            inbox_retention_days=setting.INBOX_RETENTION_DAYS.read(environ),
            subscriber_heartbeat=setting.SUBSCRIBER_HEARTBEAT.read(environ),
            worker_heartbeat=setting.WORKER_HEARTBEAT.read(environ),
            beat_heartbeat=setting.BEAT_HEARTBEAT.read(environ),
            health_port=setting.HEALTH_PORT.read(environ),
            metrics_host=setting.METRICS_HOST.read(environ),
            metrics_port=setting.METRICS_PORT.read(environ),
            worker_max_megabytes=setting.WORKER_MAX_MEGABYTES.read(environ),
            traces_collector=setting.OTEL_EXPORTER_OTLP_ENDPOINT.read(environ),
            log_level=setting.LOG_LEVEL.read(environ),
            log_format=setting.LOG_FORMAT.read(environ),
        )


def _tracking_servers(environ: Mapping[str, str]) -> dict[str, TrackingServer]:
    google = setting.MLFLOW_TRACKING_GOOGLE_IDENTITY.read(environ)
    others = setting.MLFLOW_TRACKING_SERVERS.read(environ)
    servers = {name: TrackingServer.at(name, address, google=google) for name, address in others.items()}
    name, address = setting.MLFLOW_TRACKING_SERVER.read(environ), setting.MLFLOW_TRACKING_URI.read(environ)
    own = TrackingServer.at(name, address, google=google)
    username, password = setting.MLFLOW_TRACKING_USERNAME, setting.MLFLOW_TRACKING_PASSWORD
    pair, token = (username.read(environ), password.read(environ)), setting.MLFLOW_TRACKING_TOKEN.read(environ)
    if (pair[0] is None) != (pair[1] is None):
        missing = username if pair[0] is None else password
        raise setting.SettingError(f"{missing.name} is not set. {missing.help}")
    # A user name and password take precedence over a token, as in MLflow's own client.
    if pair[0] is not None:
        own = TrackingServer(name, own.uri, username=pair[0], password=pair[1])
    elif token is not None:
        own = TrackingServer(name, own.uri, token=token)
    own = replace(own, certificate=setting.MLFLOW_TRACKING_CLIENT_CERT_PATH.read(environ))
    return _with_databases({**servers, name: own}, setting.MLFLOW_TRACKING_DATABASES.read(environ))


def _with_databases(servers: dict[str, TrackingServer], databases: Mapping[str, str]) -> dict[str, TrackingServer]:
    if unknown := sorted(databases.keys() - servers.keys()):
        text = f"{setting.MLFLOW_TRACKING_DATABASES.name} names {', '.join(unknown)}; servers are {', '.join(servers)}"
        raise setting.SettingError(text)
    return {name: replace(server, database=databases.get(name)) for name, server in servers.items()}


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings.read()


def setup_django() -> None:
    """Set up Django; call it before importing the store's models. Raises SettingError."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store.settings")
    django.setup()
