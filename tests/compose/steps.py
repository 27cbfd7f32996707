"""What is done to a stack, one step after another, and what must be true then. Each returns what it saw, in words."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.compose import load
from tests.compose.project import NAME, UNNAMED, Project, image_is_there, images
from tests.compose.reader import PATIENCE, Reader, get
from tests.compose.tls import ADDRESS as TLS
from tests.compose.tls import check_over_tls
from tests.waiting import wait
from warmboard.contract.events import EventType

EPOCHS = 3
RUNS = 100
WORKERS = 3
ROUNDS = 3
"""Of stops; by each, every worker is stopped twice."""
GRACE = 10
"""Seconds from SIGTERM to SIGKILL, as on Cloud Run."""
KILLED = 137
ADDRESS = re.compile(r"https?://[^\s,]+")
PROMETHEUS = "http://127.0.0.1:9090"
GRAFANA = "http://127.0.0.1:3000"


class NotRunError(Exception):
    """This machine lacks what the step needs; the text says what."""


class Steps:
    """The steps share a project, an account and the runs so far."""

    def __init__(self, project: Project, old: Project | None) -> None:
        self.project, self.old = project, old
        self.reader = Reader()
        self.warm: list[str] = []
        """Runs that were seen warm, and must stay so."""

    def upgrade(self) -> str:
        """The version of the commit that this work began with, with a warm run, becomes this one by `up` alone."""
        if not self.old:
            raise NotRunError("its commit is not in this clone")
        unnamed = self.unnamed()
        self.old.compose("build", "--quiet", seconds=3600)
        self.old.compose("up", "--detach")
        run_id = self._train(self.old)[0]
        self.reader.create(self.old)
        self.reader.sign_in()
        self.reader.wait_warm(run_id, EPOCHS)
        self._build()
        self.project.up("--remove-orphans")
        # The same account, the same session, the same run, before anyone warms it again.
        self.reader.check_page(run_id, EPOCHS)
        self.reader.check_listed(run_id)
        self.warm.append(run_id)
        if self.unnamed() - unnamed:
            # The old version's `databases` leaves one at each start; Compose hands the last on to the new container.
            self.project.compose("rm", "--force", "--volumes", "databases")
            if left := self.unnamed() - unnamed:
                self.project.docker("volume", "rm", *left)
            self.project.up()
        return f"a run of the old version is warm in the new one; {self._inbox()}"

    def start(self) -> str:
        """Everything is built and becomes healthy; what is done once has been done."""
        self._build()
        began = time.monotonic()
        self.project.up()
        took = time.monotonic() - began
        if not self.warm:
            self.reader.create(self.project)
            self.reader.sign_in()
        services = json.loads(self.project.compose("config", "--format=json"))["services"]
        for name in services:
            for found in self.project.inspect(*self.project.containers(name)):
                host = found["HostConfig"]
                assert host["Memory"] > 0, f"{name} has no limit of memory"
                assert host["PidsLimit"], f"{name} has no limit of processes"
                assert host["ReadonlyRootfs"], f"{name} can write to its image"
                assert host["LogConfig"]["Config"]["max-size"], f"{name}'s log has no limit"
        warnings = self.project.compose("logs", "worker")
        assert "superuser" not in warnings, "the worker warns of superuser privileges"
        return f"{len(services)} services healthy in {took:.0f} s"

    def training(self) -> str:
        """One training; `run` starts nothing else, and the addresses it ends with open in a browser on this machine."""
        once = ["databases", "migrate", "role"]
        before = [self._started(name) for name in once]
        run_id, said = self._train(self.project)
        assert [self._started(name) for name in once] == before, "a training ran the migrations again"
        addresses = ADDRESS.findall(said)
        assert len(addresses) == 2, f"the training's last lines have the addresses {addresses}"
        for address in addresses:
            status = get(address).status_code
            # The webapp asks to sign in first.
            assert status in (200, 302), f"{address} answers {status}"
        # Before, the run is warm with the epochs that were read while it trained.
        seconds = wait(lambda: self._warmed_after(run_id), "the event of its end to be done", every=0.5)
        began = time.monotonic()
        self.reader.check_page(run_id, EPOCHS)
        self.reader.check_listed(run_id)
        self.warm.append(run_id)
        return f"warm {seconds} s after its event; the page was read in {time.monotonic() - began:.1f} s"

    def stopping(self) -> str:
        """Runs under load, while workers that all are called localhost get SIGTERM, and SIGKILL after 10 s."""
        self.project.up("--no-build", "--scale", f"worker={WORKERS}")
        workers = self.project.containers("worker")
        hosts = {found["Config"]["Hostname"] for found in self.project.inspect(*workers)}
        assert (len(workers), hosts) == (WORKERS, {"localhost"})
        runs = load.log(seed=1, count=RUNS)
        load.announce(runs)
        wait(lambda: load.in_progress(self._recorded()), "a run to be read", every=0.5, seconds=PATIENCE)
        codes, seconds = [], []
        # One by one, as at a roll-out, and all at once.
        for stopped in [*([worker] for worker in workers), workers] * ROUNDS:
            began = time.monotonic()
            self.project.docker("stop", f"--time={GRACE}", *stopped)
            seconds.append(time.monotonic() - began)
            codes += [found["State"]["ExitCode"] for found in self.project.inspect(*stopped)]
            self.project.docker("start", *stopped)
        unfinished = self._unfinished(runs)
        self._wait_done(runs)
        found = [reading for reading in load.readings(self._recorded()) if reading.run in runs]
        self._check_read(runs, found)
        self.warm += runs
        broken = sum(reading.broken for reading in found)
        stops = f"{len(codes)} times a worker stopped, in {min(seconds):.1f} to {max(seconds):.1f} s"
        return (
            f"{RUNS} runs warm; {stops}, {codes.count(KILLED)} by SIGKILL; {unfinished} runs left after the"
            f" last; {len(found)} readings, {broken} broken off, none twice at a time; none parked"
        )

    def killing(self) -> str:
        """A worker's container is killed by `kill -9` while it reads a run. The engine starts it again."""
        [worker, *others] = self.project.containers("worker")
        if others:
            self.project.docker("stop", *others)
        runs = load.log(seed=2, count=10)
        load.announce(runs)
        wait(lambda: load.in_progress(self._recorded()) & set(runs), "a run to be read", every=0.2, seconds=PATIENCE)
        before = self.project.inspect(worker)[0]
        self._kill(before["State"]["Pid"])
        began = time.monotonic()
        wait(
            lambda: self.project.inspect(worker)[0]["RestartCount"] > before["RestartCount"],
            "the engine to start the worker again", every=0.5, seconds=PATIENCE,
        )  # fmt: skip
        self._wait_done(runs)
        took = time.monotonic() - began
        self._check_read(runs, [reading for reading in load.readings(self._recorded()) if reading.run in runs])
        self.warm += runs
        self.project.up("--no-build", "--scale", "worker=1")
        return f"10 runs warm {took:.0f} s after the kill"

    def metrics(self) -> str:
        """The profile observe: every process is scraped, every rule and every query of the dashboard is understood."""
        observed = self._with_profile("observe")
        self._pull(observed, "prometheus")
        observed.up("--no-build", "prometheus")
        targets = wait(self._targets, "Prometheus to scrape all programs", every=2, seconds=PATIENCE)
        wait(lambda: {rule["health"] for rule in self._rules()} == {"ok"}, "the rules", self._rules, every=2)
        for expression in expressions(self.project.folder):
            self._prometheus("query", query=expression)
        firing = sorted(rule["name"] for rule in self._rules() if rule["state"] == "firing")
        return f"{targets} processes scraped, {len(self._rules())} rules, firing: {', '.join(firing) or 'none'}"

    def grafana(self) -> str:
        """Grafana finds its dashboard, and its source of metrics answers."""
        observed = self._with_profile("observe")
        self._pull(observed, "grafana")
        observed.up("--no-build", "prometheus", "grafana")
        board = get(f"{GRAFANA}/api/dashboards/uid/warmboard").json()
        source = f"{GRAFANA}/api/datasources/proxy/uid/prometheus/api/v1/query"
        answer = get(source, query="up").json()
        assert answer["status"] == "success", answer
        return f"{len(board['dashboard']['panels'])} panels"

    def tls(self) -> str:
        """The profile tls: the page over TLS, sent whole to the webapp, with the client's own address."""
        over = self._with_profile("tls", WEBAPP_HTTPS="true", WEBAPP_TRUSTED_PROXIES="1", WEBAPP_URL=TLS)
        self._pull(over, "proxy")
        over.up("--no-build")
        seen = check_over_tls(over, self.warm[0])
        over.compose("rm", "--force", "--stop", "proxy")
        self.project.up("--no-build")
        return seen

    def restarting(self) -> str:
        """`down` leaves no volume without a name; after `up` everything is warm as before."""
        everything = self._with_profile("*")
        began = time.monotonic()
        everything.compose("down", "--remove-orphans")
        down = time.monotonic() - began
        assert not self.project.docker("ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={NAME}")
        began = time.monotonic()
        self.project.up("--no-build")
        up = time.monotonic() - began
        reader = self.reader
        wait(lambda: reader.get("/readyz").status_code == 200, "the webapp", every=0.5, seconds=PATIENCE)
        for run_id in self.warm:
            answer = reader.get(f"/api/runs/{run_id}/training-history/")
            assert answer.status_code == 200, f"run {run_id} answers {answer.status_code} after down and up"
        return f"down in {down:.0f} s, healthy again in {up:.0f} s, {len(self.warm)} runs warm as before"

    def unnamed(self) -> set[str]:
        return self.project.volumes(UNNAMED)

    def _build(self) -> None:
        self.project.compose("--profile=trainer", "build", "--quiet", seconds=3600)

    def _with_profile(self, profile: str, **variables: str) -> Project:
        project = self.project
        return Project(project.folder, project.files, (profile,), project.variables | variables)

    def _pull(self, project: Project, service: str) -> None:
        image = images(project)[service]
        if not image_is_there(project, image):
            raise NotRunError(f"there is no image {image} here, and it can't be pulled")

    def _train(self, project: Project) -> tuple[str, str]:
        """The run's ID, and what the training said at its end."""
        words = ["run", "--rm", "-T", "trainer", "--epochs", str(EPOCHS), "--json", "-"]
        output, said = project.compose_aloud("--profile=trainer", *words, seconds=3600)
        *_, line = [line for line in output.splitlines() if line.startswith("{")]
        result = json.loads(line)
        assert result["run_id"], "the training has no run in MLflow"
        assert result["published_at"], "the training published no event"
        return str(result["run_id"]), said

    def _started(self, service: str) -> str:
        [container] = self.project.compose("ps", "--all", "--quiet", service).split()
        return str(self.project.inspect(container)[0]["State"]["StartedAt"])

    def _warmed_after(self, run_id: str) -> str:
        """The seconds from the publishing of the run's end until it was warm; empty before."""
        events = self.project.query(
            "select run_id, type, round(extract(epoch from done_at - published_at)::numeric, 2) from store_inboxevent"
        )
        found = [took for run, kind, took in events if run == run_id and kind == EventType.COMPLETED]
        assert len(found) <= 1, f"run {run_id} has {len(found)} events of its end"
        return "".join(found)

    def _inbox(self) -> str:
        rows = self.project.query("select state, count(*) from store_inboxevent group by state order by state")
        return "inbox: " + ", ".join(f"{count} {state}" for state, count in rows)

    def _unfinished(self, runs: list[str]) -> int:
        states = self.project.query("select run_id, state from store_inboxevent")
        return len(runs) - len({run_id for run_id, state in states if state == "done"} & set(runs))

    def _wait_done(self, runs: list[str]) -> None:
        wait(lambda: not self._unfinished(runs), "all runs to be warm", self._inbox, every=1, seconds=2 * PATIENCE)
        for run_id in runs:
            assert self.reader.get(f"/api/runs/{run_id}/training-history/").status_code == 200, f"{run_id} is not warm"

    def _check_read(self, runs: list[str], found: list[load.Reading]) -> None:
        assert {reading.run for reading in found if not reading.broken} == set(runs), "a run became warm unread"
        twice = [f"{one.run}: {one} and {other}" for one, other in load.twice_at_a_time(found)]
        assert not twice, "\n".join(["read twice at a time:", *twice])
        parked = self.project.query("select run_id, state, reason from store_inboxevent where state not in ('done')")
        assert not parked, f"events that are not done: {parked}"

    def _recorded(self) -> str:
        [recorder] = self.project.containers("recorder")
        # Of the engine, as Compose adds escape sequences to lines.
        return self.project.docker("logs", recorder)

    def _kill(self, process: int) -> None:
        """SIGKILL by the machine's own number of a process. `docker kill` would say that it should stay down."""
        image = images(self.project)["worker"]
        line = ["run", "--rm", "--pid=host", "--user=0:0", "--entrypoint=python", image, "-c"]
        self.project.docker(*line, f"import os; os.kill({process}, 9)")

    def _targets(self) -> int:
        active = self._prometheus("targets")["activeTargets"]
        up = {target["labels"]["program"] for target in active if target["health"] == "up"}
        return len(active) if up == {"webapp", "subscriber", "worker", "beat"} else 0

    def _rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._prometheus("rules")["groups"] for rule in group["rules"]]

    def _prometheus(self, what: str, **parameters: str) -> Any:
        answer = get(f"{PROMETHEUS}/api/v1/{what}", **parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]


def expressions(folder: Path) -> Iterator[str]:
    """Every query of the dashboard."""
    for file in sorted((folder / "deploy" / "monitoring" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            yield from (target["expr"] for target in panel["targets"])
