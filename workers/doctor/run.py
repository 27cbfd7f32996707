"""Runs all checks at the same time, and waits for no longer than a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from workers.doctor import broker, database, files, mlflow_database, processes, pubsub, tracking, versions
from workers.doctor.environment import Environment
from workers.doctor.finding import Check, Finding, failure, warning
from workers.doctor.redaction import redacted
from workers.settings import Settings


def examine(found: Environment, environ: Mapping[str, str], seconds: float) -> list[Finding]:
    """All findings, in the order of the checks, without the secrets of ``environ``. Takes at most ``seconds``."""
    return redacted([*found.findings, *run(checks(found.given.settings), found, seconds)], environ)


def checks(settings: Settings) -> list[Check]:
    return [
        Check(versions.SUBJECT, versions.look),
        Check(database.SUBJECT, database.look, ("DATABASE_URL",)),
        Check(broker.SUBJECT, broker.look, ("REDIS_URL",)),
        Check(
            pubsub.SUBJECT,
            pubsub.look,
            ("PUBSUB_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "PUBSUB_TOPIC", "PUBSUB_SUBSCRIPTION"),
        ),
        *tracking.checks(settings),
        *mlflow_database.checks(settings),
        Check(files.SUBJECT, files.look, ("OUTPUT_URI", "STORAGE_EMULATOR_HOST")),
        Check(processes.SUBJECT, processes.heartbeats, ("SUBSCRIBER_HEARTBEAT", "WORKER_HEARTBEAT", "BEAT_HEARTBEAT")),
        Check(processes.SUBJECT, processes.servers, ("WEBAPP_PORT", "FLOWER_URL")),
    ]


def run(wanted: Iterable[Check], found: Environment, seconds: float) -> list[Finding]:
    """Run each check on a thread of its own. One that hangs is named, with what it had found by then."""
    deadline = time.monotonic() + seconds
    running = [Running(check, found) for check in wanted]
    for each in running:
        each.thread.start()
    for each in running:
        each.thread.join(max(0.0, deadline - time.monotonic()))
    return [finding for each in running for finding in each.result(seconds)]


@dataclass
class Running:
    """A check on its thread, with what it has found so far."""

    check: Check
    environment: Environment
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A daemon: Python doesn't wait for it at its end.
        self.thread = threading.Thread(target=self._look, name=f"doctor {self.check.subject}", daemon=True)

    def result(self, seconds: float) -> list[Finding]:
        found = list(self.findings)
        if self.thread.is_alive():
            text = f"no answer within {seconds:.0f} s"
            fix = "Something accepts connections and then hangs: restart it, or see whether a firewall drops packets."
            found.append(failure(self.check.subject, text, fix))
        return found

    def _look(self) -> None:
        subject = self.check.subject
        if wrong := [name for name in self.check.needs if name in self.environment.invalid]:
            text = f"not looked at: {' and '.join(wrong)} can't be used"
            self.findings.append(warning(subject, text, "Correct the setting first."))
            return
        try:
            for finding in self.check.look(self.environment.given):
                self.findings.append(finding)
        except Exception as error:  # noqa: BLE001 - one check must not hide the others
            text = f"the check itself failed: {type(error).__name__}: {error}"
            self.findings.append(failure(subject, text, "Read the message; if it is not clear, report it as a bug."))
