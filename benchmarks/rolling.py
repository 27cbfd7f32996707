"""A rolling upgrade under load: ``make bench-rolling``.

Two webapps behind the proxy of docker-compose.yml, with TLS; 200 clients on kept connections read pages with their
scripts and styles, JSON and the list for a minute, while both webapps and the worker are replaced one after the other,
and events come. The next webapps have static files of other names. No request may fail and no event be lost.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urljoin

import aiohttp

from benchmarks.burst import count, publish, running_stack, wait
from benchmarks.report import Measure, percentile, say
from benchmarks.runs import copies_of, insert_run
from benchmarks.web import sign_in
from deploy.local.process import Part, Process, answers_tcp, free_port, has_said
from deploy.local.supervisor import Supervisor
from tests.rollout import of_another_version, proxy

CLIENTS, SECONDS, CALM_SECONDS = 200, 60.0, 20.0
EPOCHS, EVENTS = 100, 60
FILE_OF_PAGE = re.compile(r'="(/static/[^"]+\.(?:css|js))"')


@dataclass
class Answers:
    """What the clients got: milliseconds of each answer, and why others failed."""

    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds


def measure() -> Iterator[Measure]:
    """Failed requests and lost events; requests a second and the 99th percentile, beside hello, world behind the same
    proxy.
    """
    # One process each: there are two of them.
    with running_stack(WEBAPP_PROCESSES="1", WEBAPP_HTTPS="true", WEBAPP_TRUSTED_PROXIES="1") as supervisor:
        environ = supervisor.stack.environ
        mlflow, database = environ["MLFLOW_TRACKING_URI"], environ["MLFLOW_BACKEND_STORE_URI"]
        run = insert_run(mlflow, database, EPOCHS)
        subprocess.run([sys.executable, "-m", "workers", "warm", run], env=environ, check=True)
        runs = copies_of(mlflow, database, run, EVENTS)
        with (
            _servers(supervisor, "webapp") as webapps,
            _servers(supervisor, "hello") as hellos,
            _proxy(supervisor, webapps) as web,
            _proxy(supervisor, hellos) as hello,
        ):
            cookies = {"Cookie": sign_in(supervisor, web)}
            say(f"hello, world, {CLIENTS} clients")
            reference = asyncio.run(_load([f"{hello}/api/hello/"], cookies, CALM_SECONDS))
            if not reference.times:
                raise RuntimeError(f"hello, world is not answered: {reference.failures[0]}")
            pages = [f"{web}{path}" for path in ("/", f"/runs/{run}/", f"/api/runs/{run}/training-history/")]
            say(f"{CLIENTS} clients, nothing is replaced")
            calm = asyncio.run(_load(pages, cookies, CALM_SECONDS))
            say(f"{CLIENTS} clients, while both webapps and the worker are replaced")
            # The clients in a thread, since a process ends with the thread that started it.
            with ThreadPoolExecutor(1) as pool, _next_version(supervisor) as changed:
                reading = pool.submit(asyncio.run, _load(pages, cookies, SECONDS))
                _replace(supervisor, webapps, changed, runs)
                rolled = reading.result()
        wait(lambda: count(supervisor.stack, "store_warmentry", runs), len(runs))
        warm = count(supervisor.stack, "store_warmentry", runs)
    yield Measure(
        f"failed of {len(rolled.times):,} requests", len(rolled.failures), "", None, "none", not rolled.failures
    )
    for reason in sorted(set(rolled.failures))[:5]:
        say(f"failed: {reason}")
    yield Measure("events warm, of those published meanwhile", warm, "", len(runs), "all", warm == len(runs))
    for name, found in (("nothing replaced", calm), ("all replaced", rolled)):
        yield Measure(f"{name} / hello, world: requests a second", found.rate, "requests/s", reference.rate)
        yield Measure(
            f"{name} / hello, world: p99", percentile(found.times, 0.99), "ms", percentile(reference.times, 0.99)
        )


async def _load(addresses: Sequence[str], headers: dict[str, str], seconds: float) -> Answers:
    """Read the addresses with all clients for so long, each on a connection of its own that it keeps."""
    found, begin = Answers(), time.monotonic()

    async def read(session: aiohttp.ClientSession, address: str) -> str:
        """The page's text; empty for anything else, and if it failed."""
        asked = time.perf_counter()
        try:
            async with session.get(address, allow_redirects=False) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            found.failures.append(repr(error))
            return ""
        if answer.status != 200:
            found.failures.append(f"{answer.status} {address}")
            return ""
        found.times.append((time.perf_counter() - asked) * 1000)
        return text if answer.content_type == "text/html" else ""

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        for address in itertools.islice(itertools.cycle(addresses), number, None):
            if time.monotonic() - begin > seconds:
                return
            page = await read(session, address)
            for file in dict.fromkeys(FILE_OF_PAGE.findall(page)):
                await read(session, urljoin(address, file))

    # Its certificate is of the proxy's own authority.
    connector = aiohttp.TCPConnector(limit=CLIENTS, ssl=False)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(client(session, number) for number in range(CLIENTS)))
    found.seconds = time.monotonic() - begin
    return found


@contextmanager
def _next_version(supervisor: Supervisor) -> Iterator[dict[str, str]]:
    """Settings of webapps whose static files have other names, as those of another version have."""
    with tempfile.TemporaryDirectory() as folder:
        static = Path(supervisor.stack.environ["WEBAPP_STATIC_ROOT"])
        yield {"WEBAPP_STATIC_ROOT": str(of_another_version(static, Path(folder)))}


def _replace(supervisor: Supervisor, webapps: list[Process], changed: dict[str, str], runs: list[str]) -> None:
    """Each webapp, then the worker: the new one is ready before the next is asked to end."""
    events = iter(runs)
    for number, webapp in enumerate(webapps):
        publish(supervisor.stack, list(itertools.islice(events, EVENTS // 3)), EPOCHS)
        time.sleep(5)
        webapp.stop(30)
        part = replace(webapp.part, environ={**webapp.part.environ, **changed})
        webapps[number] = Process(part, supervisor.stack.environ, webapp.log)
        webapps[number].wait_ready(60)
    worker = supervisor.processes["worker"]
    is_ready = has_said(supervisor.stack.log("worker-2"), " ready.")
    following = supervisor.start(replace(worker.part, name="worker-2", ready=is_ready))
    publish(supervisor.stack, list(events), EPOCHS)
    following.wait_ready(60)
    worker.stop(30)


@contextmanager
def _servers(supervisor: Supervisor, name: str) -> Iterator[list[Process]]:
    """Two webapps, or two that say hello, on ports of their own."""
    started: list[Process] = []
    for number in range(2):
        port = free_port()
        environ = {"WEBAPP_PORT": str(port), "METRICS_PORT": "0"}
        if name == "hello":
            environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.hello_settings"
        command = [sys.executable, "-m", "webapp", "serve"]
        part = Part(f"{name}-{number}", command, answers_tcp(port), f"127.0.0.1:{port}", environ)
        started.append(Process(part, supervisor.stack.environ, supervisor.stack.logs / f"{part.name}.log"))
    try:
        for process in started:
            process.wait_ready(60)
        yield started
    finally:
        for process in started:
            process.stop()


@contextmanager
def _proxy(supervisor: Supervisor, webapps: list[Process]) -> Iterator[str]:
    """The proxy of docker-compose.yml in front of them."""
    with tempfile.TemporaryDirectory() as folder:
        addresses = [webapp.part.address for webapp in webapps]
        with proxy(addresses, supervisor.stack.environ, Path(folder)) as address:
            yield address
