"""The store: its database, and Redis as a cache in front of it."""

from __future__ import annotations

from warmboard.contract.settings.parsers import address, integer, redis_address
from warmboard.contract.settings.setting import Setting

DATABASE_URL = Setting(
    "DATABASE_URL",
    address("postgresql", "postgres", "sqlite"),
    "sqlite:///.warmboard/warmboard.sqlite3",
    "The store's database: postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH.",
    ("workers", "webapp"),
    secret=True,
)
REDIS_URL = Setting(
    "REDIS_URL",
    redis_address,
    "redis://127.0.0.1:6379/0",
    "Redis or Valkey: Celery's broker and the store's cache. The certificate of a rediss:// address is verified, by the"
    " machine's authorities or those of ?ssl_ca_certs=FILE.",
    ("workers", "webapp"),
)
DATABASE_CONNECT_SECONDS = Setting(
    "DATABASE_CONNECT_SECONDS",
    integer(2, 300),
    "5",
    "How many seconds a connection to PostgreSQL may take, and as many the look-up of its name.",
    ("workers", "webapp"),
)
DATABASE_STATEMENT_SECONDS = Setting(
    "DATABASE_STATEMENT_SECONDS",
    integer(1, 86_400),
    "120",
    "How many seconds a worker waits for an answer of PostgreSQL. Then it closes the connection.",
    ("workers",),
)
HOT_SECONDS = Setting(
    "HOT_SECONDS",
    integer(1, 31_536_000),
    "604800",
    "How many seconds Redis keeps a warm entry after its last write.",
    ("workers", "webapp"),
)
LOCAL_CACHE_MEGABYTES = Setting(
    "LOCAL_CACHE_MEGABYTES",
    integer(0, 65_536),
    "32",
    "The max size of a process's own cache, in megabytes, of entries read within the last 50 ms. 0: no cache.",
    ("workers", "webapp"),
)
