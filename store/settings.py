"""Django settings for programs that use the store but serve no pages: the workers. The webapp extends them."""

from pathlib import Path
from typing import Any

import dj_database_url

from warmboard.contract import settings as setting


def _database(url: str) -> dict[str, Any]:
    database: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    if database["ENGINE"] == "django.db.backends.sqlite3":
        # SQLite creates its file, but not the folder.
        Path(database["NAME"]).parent.mkdir(parents=True, exist_ok=True)
        # Writers take the lock at BEGIN and wait for it. Readers never wait (write-ahead log).
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        database["ENGINE"] = "store.postgres"
        database["OPTIONS"] = {
            "connect_timeout": setting.DATABASE_CONNECT_SECONDS.read(),
            "statement_seconds": setting.DATABASE_STATEMENT_SECONDS.read(),
            **database.get("OPTIONS", {}),
            # Sends bodies as bytes, not as text of twice the length. That halves the time of a large run's put.
            "server_side_binding": True,
        }
    return database


INSTALLED_APPS = ["store"]
DATABASES = {"default": _database(setting.DATABASE_URL.read())}
REDIS_URL = setting.REDIS_URL.read()
HOT_SECONDS = setting.HOT_SECONDS.read()
LOCAL_CACHE_MEGABYTES = setting.LOCAL_CACHE_MEGABYTES.read()
# The inbox's clocks, in seconds.
LEASE_SECONDS = setting.LEASE_SECONDS.read()
DISPATCH_SECONDS = setting.DISPATCH_SECONDS.read()
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING_CONFIG = None
