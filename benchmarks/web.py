"""Reads of warm entries, compared with hello, world on the same server and with MLflow: ``make bench-web``."""

from __future__ import annotations

import re
import secrets
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from benchmarks.burst import running_stack
from benchmarks.report import Measure, say
from benchmarks.runs import insert_run
from deploy.local.process import Part, Process, answers_http, free_port
from deploy.local.supervisor import Supervisor

LENGTHS = (100, 1_000, 10_000)
CONNECTIONS, THREADS, SECONDS = 16, 2, 4
ROUNDS = 3
"""Rounds over all addresses, so that other work on the machine affects all of them."""
LEAST = 0.8
FLAT = 0.9


@dataclass(frozen=True)
class Asked:
    """The request that one measurement repeats."""

    address: str
    headers: dict[str, str] = field(default_factory=dict)


def measure() -> Iterator[Measure]:
    """Requests per second, over sixteen kept-alive connections."""
    wrk()
    with running_stack() as supervisor, _hellos(supervisor) as hellos:
        runs = _warm_runs(supervisor)
        web, mlflow = supervisor.stack.urls["web"], supervisor.stack.environ["MLFLOW_TRACKING_URI"]
        histories = {length: f"{web}api/runs/{run}/training-history/" for length, run in runs.items()}
        key = f"{mlflow}/api/2.0/mlflow/metrics/get-history?run_id={runs[100]}&metric_key=loss"
        addresses = {"hello": hellos["same"], "bare": hellos["bare"], "mlflow": key}
        addresses |= {f"overview {length}": address for length, address in histories.items()}
        addresses["full 1000"] = f"{histories[1_000]}?resolution=full"
        asked = {name: Asked(address) for name, address in addresses.items()}
        asked["zstd"] = Asked(histories[100], {"Accept-Encoding": "gzip, deflate, br, zstd"})
        asked["unchanged"] = Asked(histories[100], {"If-None-Match": _etag(histories[100])})
        # Behind a proxy there is no reading without an account: this reader has signed in.
        asked["signed in"] = Asked(
            histories[100], {"X-Forwarded-For": "192.0.2.1", "Cookie": sign_in(supervisor, web.rstrip("/"))}
        )
        rates = {name: statistics.median(found) for name, found in _rounds(asked).items()}
    hello, read = rates["hello"], rates["overview 100"]
    for name, rate in (("", read), (", zstd", rates["zstd"]), (", signed in", rates["signed in"])):
        yield _rate(f"history of 100 epochs{name} / hello, world, same server", rate, hello, LEAST)
        yield _rate(
            f"history of 100 epochs{name} / hello, world, a Django without anything", rate, rates["bare"], LEAST
        )
    yield _rate("history of 100 epochs, unchanged (304) / hello, world", rates["unchanged"], hello)
    for length in LENGTHS[1:]:
        yield _rate(f"history of {length:,} epochs / of 100", rates[f"overview {length}"], read, FLAT)
    yield _rate("full history of 1,000 epochs / hello, world", rates["full 1000"], hello)
    yield _rate("history of all metrics / MLflow's history of one", read, rates["mlflow"])


def wrk() -> str:
    """The path of the load generator. Raises SystemExit if it is not installed."""
    found = shutil.which("wrk")
    if not found:
        raise SystemExit("bench-web needs wrk, the load generator; on Debian: apt-get install wrk")
    return found


def _rate(name: str, value: float, reference: float, least: float | None = None) -> Measure:
    if least is None:
        return Measure(name, value, "requests/s", reference)
    return Measure(name, value, "requests/s", reference, f"≥ {least:g}", value >= reference * least)


def _rounds(asked: Mapping[str, Asked]) -> dict[str, list[float]]:
    rounds: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(ROUNDS):
        for name, what in asked.items():
            say(f"round {number + 1} of {ROUNDS}, requests a second: {name}")
            rounds[name].append(_requests_a_second(what))
    return rounds


def _requests_a_second(asked: Asked) -> float:
    options = [f"-c{CONNECTIONS}", f"-t{THREADS}", f"-d{SECONDS}s"]
    for name, value in ({"Accept-Encoding": "gzip"} | asked.headers).items():
        options += ["-H", f"{name}: {value}"]
    done = subprocess.run([wrk(), *options, asked.address], capture_output=True, text=True, check=True)
    found = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if not found or "Non-2xx" in done.stdout:
        raise RuntimeError(f"{asked.address}:\n{done.stdout}{done.stderr}")
    return float(found[1])


def _etag(address: str) -> str:
    return requests.get(address, headers={"Accept-Encoding": "gzip"}, timeout=10).headers["ETag"]


def sign_in(supervisor: Supervisor, web: str) -> str:
    """The session cookie of a new user, for the webapp at an address; its certificate is not checked."""
    manage = [sys.executable, "-m", "webapp", "manage", "createsuperuser", "--noinput"]
    name, password = "reader", secrets.token_hex(16)
    account = {"DJANGO_SUPERUSER_USERNAME": name, "DJANGO_SUPERUSER_PASSWORD": password}
    environ = {**supervisor.stack.environ, **account, "DJANGO_SUPERUSER_EMAIL": "reader@example.com"}
    subprocess.run(manage, env=environ, check=True, capture_output=True)
    address = f"{web}/sign-in/"
    with requests.Session() as session:
        session.verify, session.trust_env = False, False
        session.headers["Referer"] = address
        page = session.get(address, timeout=10)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1] if token else ""}
        session.post(address, data=form, timeout=10).raise_for_status()
        return f"sessionid={session.cookies['sessionid']}"


def _warm_runs(supervisor: Supervisor) -> dict[int, str]:
    environ = supervisor.stack.environ
    runs = {
        length: insert_run(environ["MLFLOW_TRACKING_URI"], environ["MLFLOW_BACKEND_STORE_URI"], length)
        for length in LENGTHS
    }
    say("warming the runs")
    subprocess.run([sys.executable, "-m", "workers", "warm", *runs.values()], env=environ, check=True)
    return runs


@contextmanager
def _hellos(supervisor: Supervisor) -> Iterator[dict[str, str]]:
    """Two more servers like the webapp's: one with its middleware, one without any."""
    environ, logs = supervisor.stack.environ, supervisor.stack.logs
    started: list[Process] = []
    ports = {"same": free_port(), "bare": free_port()}
    addresses = {name: f"http://127.0.0.1:{port}/api/hello/" for name, port in ports.items()}
    same = {"DJANGO_SETTINGS_MODULE": "benchmarks.hello_settings", "WEBAPP_PORT": str(ports["same"])}
    bare = ["granian", "--interface=wsgi", "--workers=2", "--blocking-threads=4", f"--port={ports['bare']}"]
    parts = [
        Part("hello", [sys.executable, "-m", "webapp", "serve"], answers_http(addresses["same"]), environ=same),
        Part("bare", [*bare, "benchmarks.bare:application"], answers_http(addresses["bare"])),
    ]
    try:
        for part in parts:
            started.append(Process(part, environ, logs / f"{part.name}.log"))
            started[-1].wait_ready(60)
        yield addresses
    finally:
        for process in started:
            process.stop()
