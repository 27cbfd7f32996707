"""The settings that only the workers read."""

from __future__ import annotations

from pathlib import Path

from warmboard.contract.settings.parsers import integer, names
from warmboard.contract.settings.setting import Setting

DISCOVER_SECONDS = Setting(
    "DISCOVER_SECONDS",
    integer(0, 86_400),
    "60",
    "How often, in seconds, the sweep looks for unannounced runs, in MLflow and below OUTPUT_URI. 0: never.",
    ("workers",),
)
DISCOVER_DAYS = Setting(
    "DISCOVER_DAYS",
    integer(1, 3650),
    "7",
    "The sweep looks for runs that started or ended within this many days.",
    ("workers",),
)
BACKFILL_RUNS_PER_SECOND = Setting(
    "BACKFILL_RUNS_PER_SECOND",
    integer(0, 1000),
    "20",
    "How many runs that ended before anyone announced them, however long ago, beat announces per second, at most, and"
    " behind all events. 0, or DISCOVER_SECONDS=0: none.",
    ("workers",),
)
RETENTION_DAYS = Setting(
    "RETENTION_DAYS",
    integer(0, 36_500),
    "0",
    "How many days after its last fetch a run's charts are deleted; its summary stays. 0: never.",
    ("workers",),
)
INBOX_RETENTION_DAYS = Setting(
    "INBOX_RETENTION_DAYS",
    integer(0, 36_500),
    "90",
    "How many days after their arrival events are deleted that are done or unreadable. 0: never.",
    ("workers",),
)
EPOCH_SAMPLE_INTERVAL = Setting(
    "EPOCH_SAMPLE_INTERVAL", integer(1, 1_000_000), "5", "An overview keeps one epoch out of this many.", ("workers",)
)
OVERVIEW_POINTS = Setting(
    "OVERVIEW_POINTS",
    integer(10, 100_000),
    "100",
    "The max number of epochs that an overview keeps: the interval grows with the run.",
    ("workers",),
)
FETCH_CONCURRENCY = Setting(
    "FETCH_CONCURRENCY", integer(1, 64), "8", "The max number of concurrent requests of a fetch.", ("workers",)
)
FETCH_SECONDS = Setting(
    "FETCH_SECONDS",
    integer(1, 3600),
    "300",
    "The max number of seconds that all requests of a fetch may take together, and each search for runs.",
    ("workers",),
)
FETCH_MAX_BYTES = Setting(
    "FETCH_MAX_BYTES",
    integer(2**20, 2**40),
    str(512 * 2**20),
    "The max number of bytes that a fetch may read, after decompression. A larger run is parked as failed.",
    ("workers",),
)
WORKER_MAX_MEGABYTES = Setting(
    "WORKER_MAX_MEGABYTES",
    integer(100, 65_536),
    "300",
    "A child of a worker that has used more memory than this, in MiB, is replaced after its task.",
    ("workers",),
)
WARM_ATTEMPTS = Setting(
    "WARM_ATTEMPTS",
    integer(1, 100),
    "8",
    "An event is parked as failed after this many failed attempts. Outages cost none.",
    ("workers",),
)
RECOVERY_RUNS_PER_SECOND = Setting(
    "RECOVERY_RUNS_PER_SECOND",
    integer(1, 1000),
    "20",
    "How many runs of a tracking server that was down are fetched per second, at most, as long as runs wait for it.",
    ("workers",),
)
SWEEP_SECONDS = Setting(
    "SWEEP_SECONDS",
    integer(1, 3600),
    "2",
    "How often, in seconds, the sweep looks for unfinished events that no worker holds.",
    ("workers",),
)
DISPATCH_SECONDS = Setting(
    "DISPATCH_SECONDS",
    integer(1, 3600),
    "30",
    "How many seconds the sweep waits before it queues an event again that it has queued.",
    ("workers",),
)
LEASE_SECONDS = Setting(
    "LEASE_SECONDS",
    integer(6, 3600),
    "10",
    "How many seconds a worker's claim on an event lasts unless it is renewed. Workers renew it four times as often.",
    ("workers",),
)
HEARTBEAT_AGE_SECONDS = Setting(
    "HEARTBEAT_AGE_SECONDS",
    integer(5, 3600),
    "30",
    "The health checks of subscriber, worker and beat fail if the last heartbeat is older than this many seconds.",
    ("workers",),
)
HEALTH_PORT = Setting(
    "HEALTH_PORT",
    integer(0, 65_535),
    "0",
    "The port where subscriber, worker and beat answer GET /healthz, each in its own container: 200, or 503 with the"
    " reason. 0: no port.",
    ("workers",),
)
SUBSCRIBER_HEARTBEAT = Setting(
    "SUBSCRIBER_HEARTBEAT",
    Path,
    ".warmboard/subscriber.heartbeat",
    "A file that the subscriber touches while Pub/Sub answers on its stream, or while it waits for the database; its"
    " health check reads the file's age.",
    ("workers",),
)
WORKER_HEARTBEAT = Setting(
    "WORKER_HEARTBEAT",
    Path,
    ".warmboard/worker.heartbeat",
    "A file that the worker touches while it takes tasks; its health check reads the file's age. Workers on one"
    " machine each need their own.",
    ("workers",),
)
BEAT_HEARTBEAT = Setting(
    "BEAT_HEARTBEAT",
    Path,
    ".warmboard/beat.heartbeat",
    "A file that beat touches after each sweep; its health check reads the file's age.",
    ("workers",),
)
FLOWER_HOSTS = Setting(
    "FLOWER_HOSTS",
    names,
    "localhost,127.0.0.1",
    "Host names that Flower answers to, separated by commas; any other gets 403.",
    ("workers",),
)
FLOWER_DB = Setting(
    "FLOWER_DB",
    Path,
    ".warmboard/flower",
    "The file where Flower, which reads this variable itself, keeps the tasks that it shows. It saves them each minute"
    " and when it ends.",
    ("workers",),
)
FLOWER_PORT = Setting(
    "FLOWER_PORT", integer(1, 65535), "5555", "The port of Flower, which reads this variable itself.", ("workers",)
)
