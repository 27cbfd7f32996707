"""The settings that only the webapp reads."""

from __future__ import annotations

from pathlib import Path

from warmboard.contract.settings.parsers import address, boolean, choice, integer, names, optional, secret
from warmboard.contract.settings.setting import Setting

WEBAPP_SECRET_KEY = Setting(
    "WEBAPP_SECRET_KEY",
    secret,
    None,
    "Signs sessions: 32 or more random characters, e.g. from `openssl rand -hex 32`.",
    ("webapp",),
    secret=True,
)
WEBAPP_HOST = Setting("WEBAPP_HOST", str, "127.0.0.1", "The address the webapp listens on.", ("webapp",))
WEBAPP_PORT = Setting("WEBAPP_PORT", integer(1, 65535), "8000", "The port the webapp listens on.", ("webapp",))
WEBAPP_PROCESSES = Setting("WEBAPP_PROCESSES", integer(1, 64), "2", "How many processes serve the webapp.", ("webapp",))
WEBAPP_ALLOWED_HOSTS = Setting(
    "WEBAPP_ALLOWED_HOSTS", names, "localhost,127.0.0.1", "Host names that the webapp accepts in requests.", ("webapp",)
)
WEBAPP_HTTPS = Setting(
    "WEBAPP_HTTPS",
    boolean,
    "false",
    "True behind a proxy that terminates TLS and sets X-Forwarded-Proto: secure cookies, redirects to https, HSTS.",
    ("webapp",),
)
WEBAPP_TRUSTED_PROXIES = Setting(
    "WEBAPP_TRUSTED_PROXIES",
    integer(0, 10),
    "0",
    "How many proxies are in front of the webapp, each adding an address to X-Forwarded-For: 1 on Cloud Run, 2 behind a"
    " load balancer there. Limits by address then count the client's. 0: the header is not read.",
    ("webapp",),
)
WEBAPP_LOOPBACK_READ = Setting(
    "WEBAPP_LOOPBACK_READ",
    boolean,
    "false",
    "True: requests from this machine may read without signing in; for demonstrations.",
    ("webapp",),
)
WEBAPP_STATEMENT_SECONDS = Setting(
    "WEBAPP_STATEMENT_SECONDS",
    integer(1, 3600),
    "10",
    "How many seconds a page waits for an answer of PostgreSQL; `manage` waits as long as it takes.",
    ("webapp",),
)
WEBAPP_DATABASE_URL = Setting(
    "WEBAPP_DATABASE_URL",
    lambda text: text and address("postgresql", "postgres")(text),
    "",
    "Read by `manage database_role` only, which creates the user of this address: one that can't write the store's"
    " tables. Then give the webapp this address as its DATABASE_URL.",
    ("webapp",),
    secret=True,
)
WEBAPP_RATE_LIMIT = Setting(
    "WEBAPP_RATE_LIMIT",
    integer(0, 1_000_000_000),
    "6000",
    "The max number of API requests per minute for one token, session or address. 0: no limit.",
    ("webapp",),
)
WEBAPP_GOOGLE_CLIENT_ID = Setting(
    "WEBAPP_GOOGLE_CLIENT_ID",
    str,
    "",
    "The webapp's OAuth client ID at Google. If set, the sign-in page offers Google.",
    ("webapp",),
)
WEBAPP_GOOGLE_CLIENT_SECRET = Setting(
    "WEBAPP_GOOGLE_CLIENT_SECRET", str, "", "The secret of WEBAPP_GOOGLE_CLIENT_ID.", ("webapp",), secret=True
)
WEBAPP_GOOGLE_DOMAINS = Setting(
    "WEBAPP_GOOGLE_DOMAINS",
    names,
    "",
    "Domains whose accounts may sign in with Google, separated by commas.",
    ("webapp",),
)
WEBAPP_GOOGLE_GROUP = Setting(
    "WEBAPP_GOOGLE_GROUP",
    choice("viewer", "editor"),
    "viewer",
    "The group of a new account that signed in with Google: viewer or editor.",
    ("webapp",),
)
WEBAPP_STATIC_ROOT = Setting(
    "WEBAPP_STATIC_ROOT",
    Path,
    ".warmboard/static",
    "The folder where collectstatic writes the webapp's static files.",
    ("webapp",),
)
FLOWER_URL = Setting("FLOWER_URL", optional, "", "Flower's address, for the link on the webapp's pages.", ("webapp",))
