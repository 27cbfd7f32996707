"""Every setting of every program: an environment variable with its default, declared once.

A program lists its settings in a frozen dataclass and reads them once, at its start. An invalid value is a SettingError
that names the variable. ``python -m warmboard.contract.settings`` prints the reference page.
"""

from __future__ import annotations

from warmboard.contract.settings.events import (
    GOOGLE_CLOUD_PROJECT,
    PUBSUB_EMULATOR_HOST,
    PUBSUB_SUBSCRIPTION,
    PUBSUB_TOPIC,
)
from warmboard.contract.settings.mlflow_server import (
    MLFLOW_ALLOWED_HOSTS,
    MLFLOW_ARTIFACT_ROOT,
    MLFLOW_BACKEND_STORE_URI,
    MLFLOW_BASIC_AUTH,
    MLFLOW_HOST,
    MLFLOW_PORT,
    MLFLOW_WORKERS,
)
from warmboard.contract.settings.parsers import without_credentials
from warmboard.contract.settings.programs import LOG_LEVEL, OUTPUT_URI, STORAGE_EMULATOR_HOST
from warmboard.contract.settings.setting import SETTINGS, Setting, SettingError
from warmboard.contract.settings.store import DATABASE_URL, HOT_SECONDS, LOCAL_CACHE_MEGABYTES, REDIS_URL
from warmboard.contract.settings.tracking import (
    MLFLOW_TRACKING_GOOGLE_IDENTITY,
    MLFLOW_TRACKING_PASSWORD,
    MLFLOW_TRACKING_SERVER,
    MLFLOW_TRACKING_SERVERS,
    MLFLOW_TRACKING_TOKEN,
    MLFLOW_TRACKING_URI,
    MLFLOW_TRACKING_USERNAME,
)
from warmboard.contract.settings.training import (
    LIVE_EVENTS,
    MLFLOW_EXPERIMENT_NAME,
    MLFLOW_READY_SECONDS,
    MLFLOW_RUN_NAME,
    SPOOL_DIR,
)
from warmboard.contract.settings.webapp import (
    FLOWER_URL,
    WEBAPP_ALLOWED_HOSTS,
    WEBAPP_GOOGLE_CLIENT_ID,
    WEBAPP_GOOGLE_CLIENT_SECRET,
    WEBAPP_GOOGLE_DOMAINS,
    WEBAPP_GOOGLE_GROUP,
    WEBAPP_HOST,
    WEBAPP_HTTPS,
    WEBAPP_LOOPBACK_READ,
    WEBAPP_PORT,
    WEBAPP_PROCESSES,
    WEBAPP_RATE_LIMIT,
    WEBAPP_SECRET_KEY,
    WEBAPP_STATIC_ROOT,
)
from warmboard.contract.settings.workers import (
    BEAT_HEARTBEAT,
    DISCOVER_DAYS,
    DISCOVER_SECONDS,
    EPOCH_SAMPLE_INTERVAL,
    FETCH_CONCURRENCY,
    FLOWER_PORT,
    INBOX_RETENTION_DAYS,
    OVERVIEW_POINTS,
    RETENTION_DAYS,
    SUBSCRIBER_HEARTBEAT,
    WARM_ATTEMPTS,
)

__all__ = [
    "BEAT_HEARTBEAT",
    "DATABASE_URL",
    "DISCOVER_DAYS",
    "DISCOVER_SECONDS",
    "EPOCH_SAMPLE_INTERVAL",
    "FETCH_CONCURRENCY",
    "FLOWER_PORT",
    "FLOWER_URL",
    "GOOGLE_CLOUD_PROJECT",
    "HOT_SECONDS",
    "INBOX_RETENTION_DAYS",
    "LIVE_EVENTS",
    "LOCAL_CACHE_MEGABYTES",
    "LOG_LEVEL",
    "MLFLOW_ALLOWED_HOSTS",
    "MLFLOW_ARTIFACT_ROOT",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_BASIC_AUTH",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_HOST",
    "MLFLOW_PORT",
    "MLFLOW_READY_SECONDS",
    "MLFLOW_RUN_NAME",
    "MLFLOW_TRACKING_GOOGLE_IDENTITY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_SERVER",
    "MLFLOW_TRACKING_SERVERS",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_WORKERS",
    "OUTPUT_URI",
    "OVERVIEW_POINTS",
    "PUBSUB_EMULATOR_HOST",
    "PUBSUB_SUBSCRIPTION",
    "PUBSUB_TOPIC",
    "REDIS_URL",
    "RETENTION_DAYS",
    "SETTINGS",
    "SPOOL_DIR",
    "STORAGE_EMULATOR_HOST",
    "SUBSCRIBER_HEARTBEAT",
    "WARM_ATTEMPTS",
    "WEBAPP_ALLOWED_HOSTS",
    "WEBAPP_GOOGLE_CLIENT_ID",
    "WEBAPP_GOOGLE_CLIENT_SECRET",
    "WEBAPP_GOOGLE_DOMAINS",
    "WEBAPP_GOOGLE_GROUP",
    "WEBAPP_HOST",
    "WEBAPP_HTTPS",
    "WEBAPP_LOOPBACK_READ",
    "WEBAPP_PORT",
    "WEBAPP_PROCESSES",
    "WEBAPP_RATE_LIMIT",
    "WEBAPP_SECRET_KEY",
    "WEBAPP_STATIC_ROOT",
    "Setting",
    "SettingError",
    "without_credentials",
]
