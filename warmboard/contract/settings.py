"""Every setting of every program: one environment variable each, declared once, with its embedded default.

A program lists the settings it needs in a frozen dataclass and reads them once, at its start; a value that does not
parse is a SettingError that names the variable. ``python -m warmboard.contract.settings`` prints the reference page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
SETTINGS: dict[str, Setting[object]] = {}


class SettingError(ValueError):
    """An environment variable is missing or its value can't be used; the text names it and says what would do."""


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One environment variable. ``default`` is the text used when it is unset or empty; None makes it required."""

    name: str
    parse: Callable[[str], T]
    default: str | None
    help: str
    programs: tuple[str, ...]
    secret: bool = field(default=False)

    def __post_init__(self) -> None:
        SETTINGS[self.name] = self  # type: ignore[assignment]

    def read(self, environ: Mapping[str, str] = os.environ) -> T:
        """The parsed value. Raises SettingError."""
        text = environ.get(self.name) or self.default
        if text is None:
            raise SettingError(f"{self.name} is not set. {self.help}")
        try:
            return self.parse(text)
        except ValueError as error:
            shown = "its value" if self.secret else repr(without_credentials(text))
            raise SettingError(f"{self.name}: {shown} {error}. {self.help}") from None


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d+", text) or not low <= int(text) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"is not one of {', '.join(allowed)}")
        return text

    return parse


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError("is neither true nor false") from None


def _address(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if urlsplit(text).scheme not in schemes:
            raise ValueError(f"does not start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text.rstrip("/")

    return parse


def _host_and_port(text: str) -> str | None:
    if not text:
        return None
    if not re.fullmatch(r"[^/:]+:\d+", text):
        raise ValueError("is not HOST:PORT")
    return text


def _folder(text: str) -> str:
    if "://" in text and not text.startswith(("gs://", "file://")):
        raise ValueError("is neither gs://BUCKET/PATH nor a folder")
    return text


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"is no folder: {error}") from None


def _optional(text: str) -> str | None:
    return text or None


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._~+%-]*", text):
        raise ValueError("is not a name of letters, digits, and . _ ~ + % -")
    return text


def _token(text: str) -> str | None:
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("holds spaces or other characters that no token has")
    return text or None


def _list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def without_credentials(address: str) -> str:
    """The address as people may see it: without the user name and password that it may hold."""
    # One whose scheme was forgotten, too.
    return re.sub(r"^[^/,]*@", "", re.sub(r"//[^,]*@", "//", address))


def _servers(text: str) -> dict[str, str]:
    servers = {}
    for item in _list(text):
        name, equals, uri = item.partition("=")
        if not equals:
            raise ValueError(f"holds {without_credentials(item)!r}, which is not NAME=ADDRESS")
        servers[_name(name)] = _server(uri)
    return servers


def _server(text: str) -> str:
    address = _address("http", "https")(text)
    parts = urlsplit(address)
    if re.search(r"[\s,]", address):
        raise ValueError("holds a space or a comma; write %20 or %2C")
    if not parts.hostname or "@" in parts.path:
        raise ValueError("is not an address; in a name, password or token write % / @ : , as %25 %2F %40 %3A %2C")
    return address


def _secret(text: str) -> str:
    if len(text) < 32:
        raise ValueError("is shorter than 32 characters")
    return text


_ALL = ("trainer", "workers", "webapp", "mlflow_server")
_STORE = ("workers", "webapp")
_EVENTS = ("trainer", "workers", "webapp")

MLFLOW_TRACKING_URI = Setting(
    "MLFLOW_TRACKING_URI",
    _server,
    "http://127.0.0.1:5000",
    "The address of the MLflow tracking server.",
    ("trainer", "workers"),
)
MLFLOW_TRACKING_SERVER = Setting(
    "MLFLOW_TRACKING_SERVER",
    _name,
    "default",
    "The name under which run events speak of the server at MLFLOW_TRACKING_URI.",
    ("trainer", "workers"),
)
MLFLOW_TRACKING_SERVERS = Setting(
    "MLFLOW_TRACKING_SERVERS",
    _servers,
    "",
    "More tracking servers that events may name: NAME=ADDRESS, separated by commas. An address may hold credentials:"
    " https://USER:PASSWORD@HOST, or https://TOKEN@HOST for a bearer token, with %-escapes.",
    ("workers",),
    secret=True,
)
MLFLOW_TRACKING_USERNAME = Setting(
    "MLFLOW_TRACKING_USERNAME",
    _optional,
    "",
    "With MLFLOW_TRACKING_PASSWORD: who we are at MLFLOW_TRACKING_URI (basic authentication).",
    ("trainer", "workers"),
)
MLFLOW_TRACKING_PASSWORD = Setting(
    "MLFLOW_TRACKING_PASSWORD",
    _optional,
    "",
    "Belongs to MLFLOW_TRACKING_USERNAME.",
    ("trainer", "workers"),
    secret=True,
)
MLFLOW_TRACKING_TOKEN = Setting(
    "MLFLOW_TRACKING_TOKEN",
    _token,
    "",
    "A bearer token for MLFLOW_TRACKING_URI; not used where there is a user name.",
    ("trainer", "workers"),
    secret=True,
)
MLFLOW_TRACKING_GOOGLE_IDENTITY = Setting(
    "MLFLOW_TRACKING_GOOGLE_IDENTITY",
    _boolean,
    "false",
    "True signs the workers in with Google's identity tokens, as an MLflow on Cloud Run wants, at every https address"
    " that has no other credentials.",
    ("workers",),
)
MLFLOW_EXPERIMENT_NAME = Setting(
    "MLFLOW_EXPERIMENT_NAME", str, "two-tower", "The MLflow experiment that new runs belong to.", ("trainer",)
)
MLFLOW_READY_SECONDS = Setting(
    "MLFLOW_READY_SECONDS",
    _integer(0, 3600),
    "120",
    "So long a training waits for its tracking server before it begins without one.",
    ("trainer",),
)
MLFLOW_RUN_NAME = Setting(
    "MLFLOW_RUN_NAME", str, "quick-test", "A run's name begins with it; the quick-test ID follows.", ("trainer",)
)
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
MLFLOW_WORKERS = Setting("MLFLOW_WORKERS", _integer(1, 64), "2", "How many processes serve MLflow.", ("mlflow_server",))
MLFLOW_HOST = Setting(
    "MLFLOW_HOST", str, "127.0.0.1", "The address MLflow listens on; 0.0.0.0 in a container.", ("mlflow_server",)
)
MLFLOW_PORT = Setting("MLFLOW_PORT", _integer(1, 65535), "5000", "The port MLflow listens on.", ("mlflow_server",))
MLFLOW_ALLOWED_HOSTS = Setting(
    "MLFLOW_ALLOWED_HOSTS",
    _optional,
    "",
    "Host names MLflow answers to, with ports, separated by commas. Unset: localhost and private addresses.",
    ("mlflow_server",),
)
MLFLOW_BASIC_AUTH = Setting(
    "MLFLOW_BASIC_AUTH",
    _boolean,
    "false",
    "True puts MLflow's basic authentication before every route; MLflow's own settings name the administrator and the "
    "secret key.",
    ("mlflow_server",),
)
GOOGLE_CLOUD_PROJECT = Setting(
    "GOOGLE_CLOUD_PROJECT",
    _name,
    "warmboard-local",
    "The Google Cloud project of the topic and the subscription.",
    _EVENTS,
)
PUBSUB_EMULATOR_HOST = Setting(
    "PUBSUB_EMULATOR_HOST",
    _host_and_port,
    "",
    "HOST:PORT of a Pub/Sub emulator. Unset: Google's Pub/Sub.",
    _EVENTS,
)
PUBSUB_TOPIC = Setting("PUBSUB_TOPIC", _name, "warmboard-runs", "The topic of run events and replay requests.", _EVENTS)
PUBSUB_SUBSCRIPTION = Setting(
    "PUBSUB_SUBSCRIPTION", _name, "warmboard-workers", "The workers' subscription to PUBSUB_TOPIC.", ("workers",)
)
STORAGE_EMULATOR_HOST = Setting(
    "STORAGE_EMULATOR_HOST",
    _optional,
    "",
    "Address of a Cloud Storage emulator, http://HOST:PORT. Unset: Google's Cloud Storage.",
    ("trainer", "workers"),
)
OUTPUT_URI = Setting(
    "OUTPUT_URI",
    _folder,
    ".warmboard/output",
    "Where a run leaves its files, mlflow_info.json among them: gs://BUCKET/PATH or a folder. The workers' sweep looks"
    " there for runs that no event announced.",
    ("trainer", "workers"),
)
SPOOL_DIR = Setting(
    "SPOOL_DIR",
    _path,
    ".warmboard/spool",
    "A folder on this machine where a training keeps what MLflow has not taken yet.",
    ("trainer",),
)
LIVE_EVENTS = Setting(
    "LIVE_EVENTS",
    _boolean,
    "true",
    "False: a training publishes nothing before its end, and its page is not live.",
    ("trainer",),
)
DISCOVER_SECONDS = Setting(
    "DISCOVER_SECONDS",
    _integer(0, 86_400),
    "60",
    "How often the sweep looks for runs that no event announced, in MLflow and below OUTPUT_URI. 0: never.",
    ("workers",),
)
DISCOVER_DAYS = Setting(
    "DISCOVER_DAYS",
    _integer(1, 3650),
    "7",
    "The sweep looks for runs that began or ended within so many days.",
    ("workers",),
)
DATABASE_URL = Setting(
    "DATABASE_URL",
    _address("postgresql", "postgres", "sqlite"),
    "sqlite:///.warmboard/warmboard.sqlite3",
    "The store's database: postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH.",
    _STORE,
    secret=True,
)
REDIS_URL = Setting(
    "REDIS_URL",
    _address("redis", "rediss", "unix"),
    "redis://127.0.0.1:6379/0",
    "Redis or Valkey: Celery's broker and the store's hot copy.",
    _STORE,
)
HOT_SECONDS = Setting(
    "HOT_SECONDS", _integer(1, 31_536_000), "604800", "How long Redis keeps a warm entry after its last write.", _STORE
)
LOCAL_CACHE_MEGABYTES = Setting(
    "LOCAL_CACHE_MEGABYTES",
    _integer(0, 65_536),
    "32",
    "How much a process keeps of what it read within the last 50 ms; 0: nothing.",
    _STORE,
)
RETENTION_DAYS = Setting(
    "RETENTION_DAYS",
    _integer(0, 36_500),
    "0",
    "So many days after its last fetch a run's charts are dropped; its summary stays. 0: never.",
    ("workers",),
)
INBOX_RETENTION_DAYS = Setting(
    "INBOX_RETENTION_DAYS",
    _integer(0, 36_500),
    "90",
    "So many days after they came, events that are done or unreadable are deleted. 0: never.",
    ("workers",),
)
EPOCH_SAMPLE_INTERVAL = Setting(
    "EPOCH_SAMPLE_INTERVAL", _integer(1, 1_000_000), "5", "An overview keeps every so many epochs.", ("workers",)
)
OVERVIEW_POINTS = Setting(
    "OVERVIEW_POINTS",
    _integer(10, 100_000),
    "100",
    "An overview keeps at most so many epochs: the interval grows with the run.",
    ("workers",),
)
FETCH_CONCURRENCY = Setting(
    "FETCH_CONCURRENCY", _integer(1, 64), "8", "How many requests a fetch has under way at once.", ("workers",)
)
WARM_ATTEMPTS = Setting(
    "WARM_ATTEMPTS", _integer(1, 100), "8", "After so many failed attempts an event is parked as failed.", ("workers",)
)
SUBSCRIBER_HEARTBEAT = Setting(
    "SUBSCRIBER_HEARTBEAT",
    Path,
    ".warmboard/subscriber.heartbeat",
    "A file that the subscriber touches while it listens; its health check reads the age.",
    ("workers",),
)
BEAT_HEARTBEAT = Setting(
    "BEAT_HEARTBEAT",
    Path,
    ".warmboard/beat.heartbeat",
    "A file that beat touches whenever it has sent the sweep; its health check reads the age.",
    ("workers",),
)
WEBAPP_SECRET_KEY = Setting(
    "WEBAPP_SECRET_KEY",
    _secret,
    None,
    "Signs sessions: 32 or more random characters, e.g. from `openssl rand -hex 32`.",
    ("webapp",),
    secret=True,
)
WEBAPP_HOST = Setting("WEBAPP_HOST", str, "127.0.0.1", "The address the webapp listens on.", ("webapp",))
WEBAPP_PORT = Setting("WEBAPP_PORT", _integer(1, 65535), "8000", "The port the webapp listens on.", ("webapp",))
WEBAPP_PROCESSES = Setting(
    "WEBAPP_PROCESSES", _integer(1, 64), "2", "How many processes serve the webapp.", ("webapp",)
)
WEBAPP_ALLOWED_HOSTS = Setting(
    "WEBAPP_ALLOWED_HOSTS", _list, "localhost,127.0.0.1", "Host names the webapp answers to.", ("webapp",)
)
WEBAPP_HTTPS = Setting(
    "WEBAPP_HTTPS",
    _boolean,
    "false",
    "True behind a proxy that ends TLS and sets X-Forwarded-Proto: secure cookies, redirects to https, HSTS.",
    ("webapp",),
)
WEBAPP_LOOPBACK_READ = Setting(
    "WEBAPP_LOOPBACK_READ",
    _boolean,
    "false",
    "True lets requests from this machine itself read without signing in; for demonstrations.",
    ("webapp",),
)
WEBAPP_RATE_LIMIT = Setting(
    "WEBAPP_RATE_LIMIT",
    _integer(0, 1_000_000_000),
    "6000",
    "How many requests a minute one token, session or address may make of the API; 0: any number.",
    ("webapp",),
)
WEBAPP_GOOGLE_CLIENT_ID = Setting(
    "WEBAPP_GOOGLE_CLIENT_ID",
    str,
    "",
    "Under which Google knows the webapp: its sign-in page then offers to sign in with Google.",
    ("webapp",),
)
WEBAPP_GOOGLE_CLIENT_SECRET = Setting(
    "WEBAPP_GOOGLE_CLIENT_SECRET", str, "", "Belongs to WEBAPP_GOOGLE_CLIENT_ID.", ("webapp",), secret=True
)
WEBAPP_GOOGLE_DOMAINS = Setting(
    "WEBAPP_GOOGLE_DOMAINS",
    _list,
    "",
    "Domains whose people may sign in with Google, with commas between.",
    ("webapp",),
)
WEBAPP_GOOGLE_GROUP = Setting(
    "WEBAPP_GOOGLE_GROUP",
    _choice("viewer", "editor"),
    "viewer",
    "The group of an account that a sign-in with Google has made: viewer or editor.",
    ("webapp",),
)
WEBAPP_STATIC_ROOT = Setting(
    "WEBAPP_STATIC_ROOT", Path, ".warmboard/static", "Where collectstatic puts the webapp's files.", ("webapp",)
)
FLOWER_PORT = Setting(
    "FLOWER_PORT", _integer(1, 65535), "5555", "The port Flower listens on; Flower reads it by itself.", ("workers",)
)
FLOWER_URL = Setting("FLOWER_URL", _optional, "", "Flower's address, for the link on the webapp's pages.", ("webapp",))
LOG_LEVEL = Setting(
    "LOG_LEVEL", _choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "The least level that is logged.", _ALL[:3]
)


def reference() -> str:
    """The reference page of all settings, in Markdown."""
    lines = ["# Settings", "", "Every setting is an environment variable, read once at a program's start.", ""]
    lines += ["| variable | default | read by | meaning |", "|---|---|---|---|"]
    for setting in sorted(SETTINGS.values(), key=lambda setting: setting.name):
        default = "*required*" if setting.default is None else f"`{setting.default}`" if setting.default else "unset"
        lines.append(f"| `{setting.name}` | {default} | {', '.join(setting.programs)} | {setting.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
