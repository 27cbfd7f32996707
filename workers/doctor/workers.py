"""The workers that take tasks, wherever they run: they are asked over the broker."""

from __future__ import annotations

from typing import Any

from workers.doctor.finding import Findings, failure, ok, warning
from workers.health.signals import VERSIONS, versions

SUBJECT = "workers"
SECONDS = 3.0


def answering() -> Findings:
    """Ask all workers for their versions; those that an upgrade has left behind are named."""
    from kombu.exceptions import OperationalError

    from workers.queue import app, give_up_on_slow_broker

    give_up_on_slow_broker()
    try:
        replies = app.control.broadcast(VERSIONS, reply=True, timeout=SECONDS) or []
    except OperationalError as error:
        yield failure(SUBJECT, f"they can't be asked over the broker: {error}", "Fix Redis first.")
        return
    answers: dict[str, Any] = {name: answer for reply in replies for name, answer in reply.items()}
    if not answers:
        fix = "Start one: `python -m workers worker`. One that runs but does not answer is stuck: restart it."
        yield failure(SUBJECT, f"no worker answers over the broker within {SECONDS:.0f} s", fix)
        return
    yield ok(SUBJECT, f"{_count(len(answers))}: {', '.join(sorted(answers))}")
    yield from _behind(answers)


def _behind(answers: dict[str, Any]) -> Findings:
    ours = versions()
    for name, answer in sorted(answers.items()):
        if "schema" not in answer:
            text = f"{name} is of an older version of Warmboard"
        elif answer["schema"] != ours["schema"]:
            text = f"{name} has schema {answer['schema']}, and this program {ours['schema']}"
        else:
            continue
        yield warning(SUBJECT, text, "Restart it with this version. During an upgrade, wait until it is replaced.")


def _count(number: int) -> str:
    return "one answers" if number == 1 else f"{number} answer"
