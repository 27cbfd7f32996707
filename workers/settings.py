"""What the workers read from the environment; contract/settings.py describes each variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import django

from contract import settings as setting


@dataclass(frozen=True)
class Settings:
    tracking_servers: Mapping[str, str]
    """Name → address; events name a server, only this table knows addresses."""
    redis_url: str
    project: str
    topic: str
    subscription: str
    pubsub_emulator_host: str | None
    epoch_sample_interval: int
    overview_points: int
    fetch_concurrency: int
    warm_attempts: int
    subscriber_heartbeat: Path
    beat_heartbeat: Path
    log_level: str

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Raises SettingError, which names the variable."""
        own = {setting.MLFLOW_TRACKING_SERVER.read(environ): setting.MLFLOW_TRACKING_URI.read(environ)}
        return cls(
            tracking_servers=setting.MLFLOW_TRACKING_SERVERS.read(environ) | own,
            redis_url=setting.REDIS_URL.read(environ),
            project=setting.GOOGLE_CLOUD_PROJECT.read(environ),
            topic=setting.PUBSUB_TOPIC.read(environ),
            subscription=setting.PUBSUB_SUBSCRIPTION.read(environ),
            pubsub_emulator_host=setting.PUBSUB_EMULATOR_HOST.read(environ),
            epoch_sample_interval=setting.EPOCH_SAMPLE_INTERVAL.read(environ),
            overview_points=setting.OVERVIEW_POINTS.read(environ),
            fetch_concurrency=setting.FETCH_CONCURRENCY.read(environ),
            warm_attempts=setting.WARM_ATTEMPTS.read(environ),
            subscriber_heartbeat=setting.SUBSCRIBER_HEARTBEAT.read(environ),
            beat_heartbeat=setting.BEAT_HEARTBEAT.read(environ),
            log_level=setting.LOG_LEVEL.read(environ),
        )


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings.read()


def setup_django() -> None:
    """Makes the store's tables usable; to be called before anything that imports them. Raises SettingError."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store.settings")
    django.setup()
