# mypy: ignore-errors
# ruff: noqa: E402, S105, S608 - the environment comes before everything that reads it; nothing here is a secret
"""Write fixture/: what the version before the library was called ``warmboard`` leaves behind.

This script imports the modules of that version (``contract``, ``trainer.spool``, ``workers.app``), so it runs in a
checkout of it, commit 0c7ef50, with the virtual environment of that checkout::

    git worktree add /tmp/old 0c7ef50
    cd /tmp/old && make setup
    PYTHONPATH=. .venv/bin/python NEW_CHECKOUT/tests/upgrade/write_fixture.py NEW_CHECKOUT/tests/upgrade/fixture

It takes about a minute. IDs, times, tokens and keys differ from one run to the next; the tests read them from the
files. Everything is written by the old program itself: its migrations, its inbox and tasks, its webapp's forms, a
worker and two trainings that are killed.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = Path(tempfile.mkdtemp(prefix="warmboard-old-"))
FOLDER.chmod(0o755)

import tests.environment  # noqa: F401 - sets its own environment, which ours goes over
from deploy.local.process import free_port

REDIS_PORT = free_port()
SECRET_KEY = "only-for-tests-only-for-tests-only-for-tests"
PASSWORD = "correct horse battery"
WORKER = "celery@old-worker"
HOST = socket.gethostname()
DATABASE = FOLDER / "old.sqlite3"
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "webapp.settings",
    "REDIS_URL": f"redis://127.0.0.1:{REDIS_PORT}/0",
    "DATABASE_URL": f"sqlite:///{DATABASE}",
    "WEBAPP_SECRET_KEY": SECRET_KEY,
    "WEBAPP_STATIC_ROOT": str(FOLDER / "static"),
    "MLFLOW_TRACKING_SERVERS": "",
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}
os.environ.update(ENVIRONMENT)

import django
import numpy as np
import redis
from django.core.management import call_command

django.setup()

import contract
from celery.beat import Scheduler
from contract.entries import SCHEMA_VERSION, EntryKey
from contract.events import RunEvent, RunStatus
from contract.info import RunInfo
from contract.replay import ReplayRequest
from contract.settings import SETTINGS, SettingError
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import JSONField
from django.test import Client
from django.urls import get_resolver
from workers.fetched import Curve, FetchedRun

from deploy.local.postgres import Postgres
from store.models import InboxEvent, Run, RunSource, WarmEntry
from tests.conftest import start_valkey
from tests.trainer.servers import pubsub_server
from tests.webapp.frameworks import Framework
from tests.workers import golden_run
from tests.workers.small_server import serving
from webapp.google_sign_in.models import GoogleAccount
from workers import app as tasks
from workers import pipeline, subscriber

GOLDEN = golden_run.RUN_ID
PLAIN, SECRET, OUTDATED, AGED = "plain0000run", "secret000run", "outdated0run", "aged00000run"
WAITING, LIVE, KILLED, RETRIED, FAILED = "waiting00run", "live00000run", "killed000run", "retried00run", "failed000run"
CONFIDENTIAL = "confidential"
START = datetime(2026, 1, 2, 10, 30, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PREFIX = b"warmboard:"
PROSE = {"expect", "error"}
"""Sentences for people: another version may word them in another way."""


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    valkey = start_valkey(FOLDER, REDIS_PORT)
    try:
        with pubsub_server() as pubsub:
            os.environ["PUBSUB_EMULATOR_HOST"] = pubsub.address
            from django.conf import settings

            settings.PUBSUB_EMULATOR_HOST = pubsub.address
            known = build(pubsub)
        write(out / "redis.json", redis_keys())
        write(out / "answers.json", answers(known))
        write_text(out / "rows.json", rows())
        (out / "schema-sqlite.sql").write_text(sqlite_schema())
        (out / "schema-postgresql.sql").write_text(postgres_schema())
        write(out / "known.json", known)
        write(out / "interface.json", interface())
        write(out / "contract.json", contract_files())
        for name, text in spools().items():
            (out / name).write_bytes(text)
        model(out)
    finally:
        valkey.stop()
    check_size(out)


# ---------------------------------------------------------------------------------------------- the stack


def build(pubsub: Any) -> dict[str, Any]:
    """Everything that the database and Redis hold."""
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    for name, group in (("ada", "operator"), ("vera", "viewer")):
        manage("account", name, "--group", group, given=f"{PASSWORD}\n")
    manage("visibility", CONFIDENTIAL, "--only-for", "insiders")
    manage("account", "ada", "--join", "insiders")
    GoogleAccount.objects.create(user=User.objects.get(username="vera"), subject="110169484474386276334")
    warm_runs()
    redis_client().delete(*redis_client().keys("warmboard:celery:*"))
    people = by_forms()
    replay_message = pubsub.messages[-1]
    Client(HTTP_HOST="localhost").post("/sign-in/", {"username": "vera", "password": "wrong"})
    killed_worker()
    queue_the_rest(replay_message)
    # Of one run it is enough; and of the outdated one it would be of the schema before.
    names = [key for key in redis_client().keys("warmboard:*:*") if b"celery" not in key and GOLDEN.encode() not in key]
    redis_client().delete(*names)
    Session.objects.update(expire_date=datetime(2100, 1, 1, tzinfo=UTC))
    return {
        "secret_key": SECRET_KEY, "password": PASSWORD, "worker": WORKER, "confidential": CONFIDENTIAL, **people,
        "runs": {
            "golden": GOLDEN, "plain": PLAIN, "secret": SECRET, "outdated": OUTDATED, "aged": AGED, "waiting": WAITING,
            "live": LIVE, "killed": KILLED, "retried": RETRIED, "failed": FAILED,
        },
    }  # fmt: skip


def manage(*words: str, given: str = "") -> None:
    command = [sys.executable, "-m", "webapp", "manage", *words]
    subprocess.run(command, input=given, text=True, check=True)


def redis_client() -> redis.Redis:
    return redis.Redis(port=REDIS_PORT)


class Fetcher:
    """Takes the place of the network: returns these runs as MLflow would have."""

    runs = {
        PLAIN: Framework(PLAIN, logged="steps", size=60, name="other-framework", experiment="digits"),
        SECRET: Framework(SECRET, logged="epochs_alone", name="hidden", experiment=CONFIDENTIAL),
        OUTDATED: Framework(OUTDATED, logged="epochs_alone", name="older-schema"),
        AGED: Framework(AGED, logged="scikit", name="forest", experiment="digits"),
    }

    def fetch(self, run_id: str, **_: Any) -> FetchedRun:
        if run_id == GOLDEN:
            return golden_run.fetched(golden_run.metrics(), golden_run.params())
        run = self.runs[run_id].fetched()
        # As a fetch makes them; those of the samples may be slices.
        curves = {
            key: Curve(*map(np.ascontiguousarray, (c.steps, c.values, c.timestamps)), c.repeated)
            for key, c in run.curves.items()
        }
        return dataclasses.replace(run, curves=curves)


def receive(event: RunEvent) -> None:
    """One message, as the subscriber gets it from Pub/Sub."""
    data, attributes = event.encode()
    receive_message(data, attributes)


_numbers = itertools.count(1)


def receive_message(data: bytes, attributes: dict[str, str]) -> None:
    subscriber.receive(
        SimpleNamespace(
            message_id=str(next(_numbers)), data=data, attributes=attributes, publish_time=datetime.now(UTC),
            ack=lambda: None, nack=lambda: sys.exit("the inbox did not take a message"),
        )
    )  # fmt: skip


def completed(run_id: str, experiment: str = "two-tower", **more: Any) -> RunEvent:
    return RunEvent.completed(
        run_id=run_id, tracking_server=more.pop("server", "default"), experiment_name=experiment,
        status=RunStatus.FINISHED, end_time=START, epochs=12, **more,
    )  # fmt: skip


def warm_runs() -> None:
    """The runs that are warm, the one that failed, and the message that could not be read."""
    pipeline.fetcher = lambda *_: Fetcher()
    receive(
        RunEvent.started(
            run_id=GOLDEN, tracking_server="default", experiment_name="two-tower",
            time=START - timedelta(minutes=2), quick_test_id=7,
        )
    )  # fmt: skip
    receive(completed(GOLDEN, quick_test_id=7))
    receive(completed(PLAIN, "digits"))
    receive(completed(SECRET, CONFIDENTIAL))
    receive(completed(OUTDATED))
    receive(completed(AGED, "digits"))
    for run_id in (GOLDEN, PLAIN, SECRET, OUTDATED, AGED):
        print(tasks.warm_run.apply([run_id]).get())
    receive(completed(FAILED, server="gone"))
    assert tasks.warm_run.apply([FAILED]).failed()
    # Called here, a task has no worker's name.
    InboxEvent.objects.filter(claimed_by=HOST).update(claimed_by=WORKER)
    receive_message(b"no event at all", {"ce-type": "warmboard.run.completed.v1", "who": "a curl at night"})
    # The version before: its entries have another schema, and are rebuilt from the stored fetch.
    WarmEntry.objects.filter(run_id=OUTDATED).delete()
    Run.objects.filter(pk=OUTDATED).update(schema_version=SCHEMA_VERSION - 1)
    assert RunSource.objects.filter(pk=OUTDATED).exists()
    Run.objects.filter(pk=AGED).update(fetched_at=LONG_AGO)
    InboxEvent.objects.filter(run_id=AGED).update(received_at=LONG_AGO)


def by_forms() -> dict[str, Any]:
    """What people do in a browser."""
    browsers, tokens = {}, {}
    for name in ("ada", "vera"):
        browser = browsers[name] = Client(HTTP_HOST="localhost")
        assert browser.post("/sign-in/", {"username": name, "password": "wrong"}).status_code == 200
        assert browser.post("/sign-in/", {"username": name, "password": PASSWORD}).status_code == 302
        page = browser.post("/tokens/", {"name": "a script", "days": ""}).content.decode()
        tokens[name] = re.search(r"wb_[\w-]{43}", page)[0]
    ada = browsers["ada"]
    note = {"note": "The best so far.\nSee *page 3*.", "pinned": "on", "tags": "team=ranking, keep"}
    assert ada.post(f"/runs/{GOLDEN}/annotation/", note).status_code == 303
    assert ada.post("/annotate/archive/", {"run": [AGED]}).status_code == 303
    page = ada.get("/operations/replay/", {"run_id": PLAIN}).content.decode()
    signed = re.search(r'name="request" value="([^"]+)"', page)[1]
    assert ada.post("/operations/replay/", {"request": signed}).status_code == 302
    return {"tokens": tokens, "sessions": {name: browsers[name].cookies["sessionid"].value for name in browsers}}


def killed_worker() -> None:
    """A worker that is killed while it fetches one run, and has put off another until MLflow is better."""

    def mlflow(path: str, *_: Any) -> tuple[int, bytes, dict[str, str]]:
        if KILLED in path:
            time.sleep(20)
        return 404 if "warmboard/version" in path else 503, b"{}", {}

    with serving(mlflow) as server:
        receive(completed(KILLED))
        receive(completed(RETRIED))
        worker = subprocess.Popen(
            [
                sys.executable, "-m", "celery", "-A", "workers.app", "worker", f"--hostname={WORKER}",
                "--concurrency=2", "--loglevel=INFO", "--without-gossip", "--without-mingle",
            ],
            env={**os.environ, "MLFLOW_TRACKING_URI": server.address, "WARM_ATTEMPTS": "100"},
            start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not _in_the_middle():
                assert time.monotonic() < deadline, "the worker never got there"
                time.sleep(0.05)
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def _in_the_middle() -> bool:
    connection.close()
    states = dict(InboxEvent.objects.filter(run_id__in=[KILLED, RETRIED]).values_list("run_id", "state"))
    retries = InboxEvent.objects.get(run_id=RETRIED).attempts
    held = b" ".join(redis_client().hvals("warmboard:celery:unacked"))
    return states == {KILLED: "warming", RETRIED: "pending"} and retries >= 3 and RETRIED.encode() in held


def queue_the_rest(replay: Any) -> None:
    """Messages that no worker has taken yet: of the subscriber, the sweep, and beat."""
    receive(completed(WAITING))
    receive(
        RunEvent.progressed(
            run_id=LIVE, tracking_server="default", experiment_name="two-tower", time=START, epochs=3
        )
    )  # fmt: skip
    receive_message(bytes(replay.data), dict(replay.attributes))
    InboxEvent.objects.filter(run_id=WAITING).update(due_at=datetime.now(UTC))
    tasks.sweep()
    beat = Scheduler(tasks.app, lazy=True)
    beat.setup_schedule()
    beat.apply_async(beat.schedule["expire"], advance=False)


# ---------------------------------------------------------------------------------------------- files


def redis_keys() -> dict[str, Any]:
    """Every key of ours in Redis, as it is: lists, hashes and sets of Celery, and the hot copy in base64."""
    client, found = redis_client(), {}
    for key in sorted(client.keys("*")):
        kind = client.type(key).decode()
        read = {
            "string": lambda key: client.get(key),
            "list": lambda key: client.lrange(key, 0, -1),
            "hash": lambda key: client.hgetall(key),
            "set": lambda key: sorted(client.smembers(key)),
            "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        }[kind]
        assert key.startswith(PREFIX), key
        found[key.decode()] = {"type": kind, "value": plain(read(key))}
    return found


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode("ascii").replace(f"@{HOST}", "@old-host")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    return value


def rows() -> str:
    """Every table, those first that others point at; one row a line, times in UTC."""
    connection.close()
    database = sqlite3.connect(DATABASE)
    as_json = {
        (model._meta.db_table, field.column)
        for model in apps.get_models()
        for field in model._meta.fields
        if isinstance(field, JSONField)
    }
    parts = []
    for table in in_order(database):
        info = database.execute(f"PRAGMA table_info({table})").fetchall()
        columns, kinds = [row[1] for row in info], [row[2] for row in info]
        readers = [reader((table, column) in as_json, kind) for column, kind in zip(columns, kinds, strict=True)]
        lines = [
            json.dumps([read(value) for read, value in zip(readers, row, strict=True)])
            for row in database.execute(f"SELECT * FROM {table} ORDER BY 1")
        ]
        if lines:
            body = ",\n  ".join(lines)
            parts.append(f'"{table}": {{\n "columns": {json.dumps(columns)},\n "rows": [\n  {body}\n ]\n}}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def reader(is_json: bool, kind: str) -> Any:
    def read(value: Any) -> Any:
        if value is None:
            return None
        if is_json:
            return json.loads(value)
        if kind == "bool":
            return bool(value)
        if isinstance(value, bytes):
            return {"base64": base64.b64encode(value).decode()}
        return value

    return read


def in_order(database: sqlite3.Connection) -> list[str]:
    waiting = [
        name
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        if not name.startswith("sqlite_")
    ]
    found: list[str] = []
    while waiting:
        for name in waiting:
            targets = {row[2] for row in database.execute(f"PRAGMA foreign_key_list({name})")} - {name}
            if targets <= set(found):
                found.append(name)
                waiting.remove(name)
                break
    return found


def sqlite_schema() -> str:
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    return "".join(f"{sql};\n" for (sql,) in sqlite3.connect(DATABASE).execute(query))


def postgres_schema() -> str:
    """As pg_dump writes it, without the settings of a session and the names of roles."""
    server = Postgres(FOLDER / "postgres")
    server.start()
    try:
        url = server.url()
        manage_on(url, "migrate", "--verbosity=0")
        dump = server._binaries() / "bin" / "pg_dump"
        command = [str(dump), "--schema-only", "--no-owner", "--no-privileges", url]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    finally:
        server.stop()
    lines = [line for line in text.splitlines() if line and not line.startswith(("--", "\\", "SET ", "SELECT pg_cat"))]
    return "\n".join(lines) + "\n"


def manage_on(url: str, *words: str) -> None:
    command = [sys.executable, "-m", "webapp", "manage", *words]
    subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=True)


# ---------------------------------------------------------------------------------------------- what it answered


def answers(known: dict[str, Any]) -> list[dict[str, Any]]:
    """The old webapp's answer for every address: pages are read with a session, the API with a token."""
    runs = known["runs"]
    asked = [(path, who) for path in pages(runs) for who in ("session ada", "")]
    asked += [(path, who) for path in bodies(runs) + documents(runs) for who in ("token ada", "")]
    # Who sees less than everything.
    asked += [(path, "session vera") for path in pages(runs) if "operations" in path or SECRET in path]
    of_all = (
        "/api/operations/",
        "/api/runs/",
        "/api/runs/?q=is%3Aall&sort=name",
        "/api/quick-tests/7/training-history/",
    )
    asked += [(path, "token vera") for path in bodies(runs) + documents(runs) if path in of_all or SECRET in path]
    return [answer(path, who, known) for path, who in asked]


def pages(runs: dict[str, str]) -> list[str]:
    return [
        "/", "/?q=status%20%3D%20finished&sort=-metric.final_loss", "/?group=experiment", "/rows/?q=two",
        f"/pick/?run={runs['golden']}&run={runs['plain']}", "/compare/",
        f"/compare/?runs={runs['golden']},{runs['plain']}", "/quick-tests/7/", "/quick-tests/404/", "/sign-in/",
        "/sign-in/google/", "/sign-in/google/callback/", "/tokens/", "/api/docs/", "/operations/",
        "/operations/?state=failed", "/operations/replay/?failed=true", "/operations/audit/", "/healthz", "/readyz",
        "/runs/export.csv", "/runs/export.json", *(f"/runs/{run}/" for run in (*runs.values(), "no-such-run")),
    ]  # fmt: skip


def bodies(runs: dict[str, str]) -> list[str]:
    """Addresses of stored bodies."""
    found = []
    for run in ("golden", "plain", "secret", "waiting", "failed", "outdated"):
        prefix = f"/api/runs/{runs[run]}/"
        for resolution in ("", "?resolution=full"):
            found += [f"{prefix}training-history/{resolution}", f"{prefix}metrics/0/{resolution}"]
        found.append(f"{prefix}metrics/")
    golden = (f"/api/runs/{runs['golden']}/", "/api/quick-tests/7/")
    for prefix in golden:
        for type_, tower in itertools.product(("weights", "gradients"), ("query", "candidate")):
            for resolution in ("overview", "full"):
                found.append(f"{prefix}histogram-data/?type={type_}&tower={tower}&resolution={resolution}")
    found += ["/api/quick-tests/7/training-history/", "/api/quick-tests/404/training-history/"]
    return [*found, f"/api/runs/{runs['golden']}/training-history/?resolution=none"]


def documents(runs: dict[str, str]) -> list[str]:
    """Addresses of documents that are made for each request."""
    of_runs = [f"/api/runs/{run}/" for run in (*runs.values(), "no-such-run")]
    golden, plain_run, secret = runs["golden"], runs["plain"], runs["secret"]
    return [
        *of_runs, f"/api/runs/{golden}/annotation/", f"/api/compare?runs={golden},{plain_run},{secret}",
        f"/api/runs/{golden}/export.json", f"/api/runs/{golden}/export.csv?histograms=with",
        f"/api/runs/{golden}/export.parquet", f"/api/runs/{plain_run}/export.csv", "/api/quick-tests/7/export.csv",
        "/api/runs/", "/api/runs/?limit=2", "/api/runs/?q=is%3Aall&sort=name", "/api/runs/?q=tag.team%20%3D%20ranking",
        "/api/runs/?q=param.epochs%20%3D%2012&sort=-metric.test_recall_at_10", "/api/runs/?q=experiment%20%3D%20digits",
        "/api/runs/?q=metric.test_recall_at_10%20%3E%200.1&sort=-param.lr", "/api/runs/?q=%3D%3D",
        "/api/operations/", "/api/operations/?state=failed", "/api/openapi.json",
    ]  # fmt: skip


def answer(path: str, who: str, known: dict[str, Any]) -> dict[str, Any]:
    headers = {"HTTP_HOST": "localhost"}
    how, _, name = who.partition(" ")
    if how == "token":
        headers["HTTP_AUTHORIZATION"] = f"Bearer {known['tokens'][name]}"
    if how == "session":
        headers["HTTP_COOKIE"] = f"sessionid={known['sessions'][name]}"
    response = Client().get(path, **headers)
    content = response.getvalue()
    kind = response.headers.get("Content-Type", "")
    found = {"path": path, "who": who, "status": response.status_code, "type": kind}
    if "Location" in response.headers:
        found["location"] = response.headers["Location"]
    if path in bodies(known["runs"]) and "ETag" in response.headers:
        return found | {"etag": response.headers["ETag"], "sha256": hashlib.sha256(content).hexdigest()}
    if path.startswith("/api/") and "/export.csv" in path and response.status_code == 200:
        return found | {"sha256": hashlib.sha256(content).hexdigest()}
    if kind == "application/json" and response.status_code in (200, 400) and path.startswith("/api/"):
        return found | document(path, json.loads(content))
    return found


def document(path: str, content: Any) -> dict[str, Any]:
    """What of a document is compared: all but sentences, of long ones a part."""
    if path.startswith("/api/operations/"):
        counts = {state: count["count"] for state, count in content["states"].items()}
        return {"counts": counts, "events": [event["id"] for event in content["events"]]}
    if path.startswith("/api/runs/?") and "runs" in content:
        return {"runs": [run["mlflow_run_id"] for run in content["runs"]]}
    return {} if "/compare" in path or "/export" in path or "openapi" in path else {"json": without_prose(content)}


def without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        # Why there is no body; of a run, and of its events, the reason is that of the tables.
        prose = PROSE | ({"reason"} if "available" in value else set())
        return {key: without_prose(item) for key, item in value.items() if key not in prose}
    return [without_prose(item) for item in value] if isinstance(value, list) else value


# ---------------------------------------------------------------------------------------------- names


def interface() -> dict[str, Any]:
    """What others rely on by name: settings, addresses, commands, the API's shapes, keys."""
    from trainer import __main__ as trainer_main
    from trainer import flush, sweep
    from webapp.accounts.management.commands.account import Command as Account
    from webapp.visibility.management.commands.visibility import Command as Visibility
    from workers import __main__ as workers_main

    document = json.loads(Client(HTTP_HOST="localhost").get("/api/openapi.json", **_ada()).getvalue())
    return {
        "settings": [setting_of(setting) for _, setting in sorted(SETTINGS.items())],
        "urls": [[str(item.pattern), item.name] for item in get_resolver("webapp.urls").url_patterns],
        "commands": {
            "workers": options_of(workers_main.parser()),
            "trainer": options_of(trainer_main.parser()),
            "trainer sweep": options_of(sweep.parser()),
            "flush": options_of(flush.parser()),
            "webapp manage account": options_of(Account().create_parser("", "account")),
            "webapp manage visibility": options_of(Visibility().create_parser("", "visibility")),
        },
        "openapi": openapi(document),
        "keys": {
            f"{entry.name} {entry.resolution}": entry_key(entry) for entry in WarmEntry.objects.filter(run_id=GOLDEN)
        },
        "tasks": sorted(name for name in tasks.app.tasks if not name.startswith("celery.")),
        "permissions": sorted(User.objects.get(username="ada").get_all_permissions()),
    }


def _ada() -> dict[str, str]:
    from webapp.tokens.models import Token

    _, text = Token.create(User.objects.get(username="ada"), "only to look", 1)
    return {"HTTP_AUTHORIZATION": f"Bearer {text}"}


def entry_key(entry: WarmEntry) -> str:
    return str(EntryKey(entry.run_id, entry.name, entry.resolution))


def setting_of(setting: Any) -> dict[str, Any]:
    try:
        parsed = repr(setting.read({}))
    except SettingError:
        parsed = None
    return {
        "name": setting.name, "default": setting.default, "parsed": parsed, "programs": list(setting.programs),
        "secret": setting.secret,
    }  # fmt: skip


def options_of(parser: Any) -> Any:
    """Every option string and positional of a parser, and of its commands."""
    found: dict[str, Any] = {"options": []}
    for action in parser._actions:
        if isinstance(action.choices, dict) and not action.option_strings:
            found["commands"] = {name: options_of(child) for name, child in action.choices.items()}
        else:
            found["options"] += list(action.option_strings) or [action.metavar or action.dest]
    found["options"].sort()
    return found


def openapi(document: dict[str, Any]) -> dict[str, Any]:
    """Addresses with their parameters, and shapes with their fields; no sentences."""
    paths = {
        f"{method} {path}": sorted(
            f"{parameter['in']} {parameter['name']}{' required' if parameter.get('required') else ''}"
            for parameter in operation.get("parameters", [])
            if "name" in parameter
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict)
    }
    shapes = {name: sorted(shape.get("properties", {})) for name, shape in document["components"]["schemas"].items()}
    return {"paths": paths, "shapes": shapes}


def contract_files() -> dict[str, Any]:
    """Golden messages and entries: the sum of each file, and what it was decoded to."""
    folder = Path(contract.__file__).parent / "examples"
    found = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        found[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "decoded": decoded(path.name, data)}
    return found


def decoded(name: str, data: bytes) -> Any:
    if name.startswith(("event-", "replay-")):
        message = json.loads(data)
        kind = RunEvent if name.startswith("event-") else ReplayRequest
        value = kind.decode(json.dumps(message["data"]).encode(), message["attributes"])
    elif name.startswith("mlflow-info-"):
        value = RunInfo.decode(data)
    else:
        return None
    return json.loads(json.dumps(dataclasses.asdict(value), default=lambda item: item.isoformat()))


# ---------------------------------------------------------------------------------------------- the trainer


def spools() -> dict[str, bytes]:
    """Two files of SPOOL_DIR: of a training that was killed when half of it was sent, and of one that ended while
    MLflow was down and had never had it.
    """
    batches = 0

    def mlflow(path: str, *_: Any) -> tuple[int, bytes, dict[str, str]]:
        """Takes the run and one batch."""
        nonlocal batches
        answers = {
            "experiments/get-by-name": {"experiment": {"experiment_id": "7"}},
            "runs/create": {"run": {"info": {"run_id": "killed0training"}}},
        }
        route = path.split("?")[0].removeprefix("/api/2.0/mlflow/")
        if route == "runs/log-batch":
            # Meanwhile more is logged: what is sent is marked in the file, and not cut off.
            batches += 1
            time.sleep(0.8)
        status = 503 if batches > 1 and route == "runs/log-batch" else 200
        return status, json.dumps(answers.get(route, {})).encode(), {"Content-Type": "application/json"}

    with serving(mlflow) as server:
        killed = training(server.address, "killed", kill=True)
        never = training(f"http://127.0.0.1:{free_port()}", "never", kill=False)
    return {"spool-killed.ndjson": killed, "spool-never-created.ndjson": never}


def training(address: str, name: str, kill: bool) -> bytes:
    folder = FOLDER / f"spool-{name}"
    program = textwrap.dedent(f"""
        import os, signal, time
        from trainer import tracked_run
        with tracked_run(quick_test_id=9, run_name="{name}", experiment="two-tower", tags={{"team": "ranking"}}) as run:
            run.log_params({{"lr": 0.01, "optimizer": "adam"}})
            for epoch in range(4):
                run.log_metrics({{"loss": 1.0 / (epoch + 1), "val_loss": float("nan") if epoch == 2 else 2.0}}, epoch)
                time.sleep(0.4)
            if {kill}:
                os.kill(os.getpid(), signal.SIGKILL)
    """)
    environ = {
        **os.environ, "MLFLOW_TRACKING_URI": address, "MLFLOW_READY_SECONDS": "0", "SPOOL_DIR": str(folder),
        "OUTPUT_URI": str(FOLDER / "output"), "LIVE_EVENTS": "false", "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", program], env=environ, check=False, timeout=200)
    (path,) = folder.glob("*.ndjson")
    return path.read_bytes()


def model(out: Path) -> None:
    """A saved model, and the scores that it gave."""
    program = textwrap.dedent(f"""
        import json, numpy as np
        from trainer.model import TwoTower
        from trainer.save import model_bytes
        model = TwoTower(5, np.full(4, 0.25), embedding_dim=3, l2=1e-5, normalize=True, activation="tanh", seed=3)
        model.compile(optimizer="sgd")
        buyers = np.arange(4) % 5
        model.fit({{"buyer": buyers, "product": np.arange(4)}}, epochs=1, verbose=0)
        open("{out}/model.keras", "wb").write(model_bytes(model))
        scores = np.asarray(model.query(buyers)) @ np.asarray(model.candidate(np.arange(4))).T
        open("{out}/model.json", "w").write(json.dumps({{"scores": scores.tolist()}}) + chr(10))
    """)
    subprocess.run([sys.executable, "-c", program], check=True)


def write(path: Path, value: Any) -> None:
    """One member, or item, a line."""
    if isinstance(value, list):
        text = "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]\n"
    else:
        text = "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()) + "\n}\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    for secret_name in (f"@{HOST}", str(FOLDER)):
        assert secret_name not in text, f"{path.name} holds {secret_name}"
    path.write_text(text)


def check_size(out: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    print("\n".join(f"{size:>9,} {name}" for name, size in sizes.items()))
    total = sum(sizes.values())
    print(f"{total:>9,} in all")
    assert total < 300_000, "keep it small"


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
