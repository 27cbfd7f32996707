"""Runs as lists and pages show them: their rows, and states from their events. The number of queries is fixed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Self

from store.models import InboxEvent, QuickTest, Run
from store.state import Outages, RunState, state_of
from warmboard.contract.cloudevents import format_time
from warmboard.contract.events import SWEEP_SOURCE
from webapp.annotations.models import Annotation
from webapp.api.reading import outage_document
from webapp.run.family import Family
from webapp.visibility.reader import Reader

State = InboxEvent.State
# Max events of a run that are shown, newest first.
EVENTS_SHOWN = 20


@dataclass(frozen=True)
class Listed:
    """One run of a list. ``state`` is ``warm`` or a ``store.state.State``."""

    run: Run
    state: str
    reason: str
    quick_test_ids: list[int]
    annotation: Annotation | None


def listed(run_ids: Iterable[str]) -> dict[str, Listed]:
    """Load these runs for a list. Five queries for any number of runs."""
    runs = Run.objects.in_bulk(run_ids)
    tests = _quick_tests(list(runs))
    states = _states([run for run in runs.values() if not run.is_warm])
    annotations = Annotation.objects.prefetch_related("tags").in_bulk(run_ids)
    return {
        run_id: _listed(run, states.get(run_id), tests.get(run_id, []), annotations.get(run_id))
        for run_id, run in runs.items()
    }


def _listed(run: Run, state: RunState | None, quick_test_ids: list[int], annotation: Annotation | None) -> Listed:
    word, reason = (state.state, state.reason) if state else ("warm", "")
    return Listed(run, word, reason, quick_test_ids, annotation)


def _quick_tests(run_ids: list[str]) -> dict[str, list[int]]:
    tests: dict[str, list[int]] = {}
    for pk, run_id in (
        QuickTest.objects.filter(mlflow_run_id__in=run_ids).order_by("pk").values_list("pk", "mlflow_run_id")
    ):
        tests.setdefault(run_id, []).append(pk)
    return tests


def _states(runs: list[Run]) -> dict[str, RunState]:
    """The state of each run that is not warm. One query, and one if any is pending."""
    rows = InboxEvent.objects.filter(run_id__in=[run.run_id for run in runs]).order_by("run_id", "-received_at")
    found = rows.only("run_id", "state", "reason", "attempts")
    events = {run_id: list(group) for run_id, group in groupby(found, lambda event: event.run_id)}
    outages = Outages()
    return {run.run_id: state_of(events.get(run.run_id, []), run, outages) for run in runs}


@dataclass(frozen=True)
class Summary:
    """All data of one run except its charts. ``run`` is None if only its events are known."""

    run_id: str
    run: Run | None
    quick_test_ids: list[int]
    events: list[InboxEvent] = field(repr=False)
    family: Family = field(default_factory=Family, repr=False)

    @classmethod
    def find(cls, run_id: str, reader: Reader) -> Self:
        """Load the run. A hidden run looks like an unknown one. Three queries, those of its family and the reader's."""
        if not reader.sees(run_id):
            return cls(run_id, None, [], [])
        events = InboxEvent.objects.filter(run_id=run_id).order_by("-received_at").defer("data")
        run = Run.objects.filter(pk=run_id).first()
        return cls(
            run_id,
            run,
            _quick_tests([run_id]).get(run_id, []),
            list(events[:EVENTS_SHOWN]),
            Family.of(run, reader) if run else Family(),
        )

    @property
    def known(self) -> bool:
        return self.run is not None or bool(self.events)

    def document(self) -> dict[str, Any]:
        """The JSON of ``/api/runs/{run_id}/``, which the run's page contains too."""
        run = self.run
        cold = state_of(self.events, run)
        outage = outage_document(cold.waits_for)
        newest = self.events[0] if self.events else None
        warm = bool(run and run.is_warm)
        return {
            "mlflow_run_id": self.run_id,
            "state": "warm" if warm else cold.state,
            "expect": "" if warm else cold.expect,
            "reason": cold.reason if not warm or (newest and newest.state == State.FAILED) else "",
            "attempts": newest.attempts if newest else 0,
            "next": newest.state if newest and newest.state != State.DONE else None,
            "quick_test_ids": self.quick_test_ids,
            **({**run_fields(run), **self.family.document()} if run else {}),
            **({"waiting_for": outage} if outage and not warm else {}),
            "timings": self._timings(),
            "events": [_event(event) for event in self.events],
        }

    def _timings(self) -> dict[str, str | float | bool | None]:
        """Times of the newest event that was warmed or, if none was, of the newest event."""
        done = next((event for event in self.events if event.state == State.DONE and event.done_at), None)
        event = done or (self.events[0] if self.events else None)
        warmed = (done and done.done_at) or (self.run.warmed_at if self.run else None)
        passed = (done.done_at - done.published_at).total_seconds() if done and done.done_at else None
        return {
            "announced": event is None or event.source != SWEEP_SOURCE,
            "event_time": event.attributes.get("ce-time") if event else None,
            "published_at": _time(event.published_at if event else None),
            "received_at": _time(event.received_at if event else None),
            "warmed_at": _time(warmed),
            "publish_to_warm_seconds": passed,
        }


def run_fields(run: Run) -> dict[str, Any]:
    """The columns of one run, as JSON."""
    return {
        "name": run.name,
        "experiment_name": run.experiment_name,
        "tracking_server": run.tracking_server,
        "status": run.status,
        "start_time": _time(run.start_time),
        "end_time": _time(run.end_time),
        "newest_at": _time(run.newest_at),
        "deleted_at": _time(run.deleted_at),
        "epochs": run.epochs,
        "unit": run.unit,
        "pending_metrics": run.pending_metrics,
        "params": run.params,
        "final_metrics": run.final_metrics,
        "announced_at": _time(run.announced_at),
        "warmed_at": _time(run.warmed_at),
    }


def compared_documents(charts: Mapping[str, bool], seen: Collection[str]) -> dict[str, dict[str, Any]]:
    """The JSON of each run in a comparison, without its history. ``charts`` is whether it has one, ``seen`` are the
    runs that the reader may see. Three queries.
    """
    rows = Run.objects.in_bulk(seen)
    tests = _quick_tests(list(rows))
    states = _states([run for run_id, run in rows.items() if not charts[run_id]])
    documents = {}
    for run_id, is_warm in charts.items():
        cold = states.get(run_id, RunState("unknown"))
        documents[run_id] = {
            "mlflow_run_id": run_id,
            "state": "warm" if is_warm else cold.state,
            "expect": "" if is_warm else cold.expect,
            "reason": "" if is_warm else cold.reason,
            "quick_test_ids": tests.get(run_id, []),
            **(run_fields(rows[run_id]) if run_id in rows else {}),
        }
    return documents


def _event(event: InboxEvent) -> dict[str, Any]:
    return {
        "id": event.event_id,
        "type": event.type,
        "state": event.state,
        "reason": event.reason,
        "attempts": event.attempts,
        "event_time": event.attributes.get("ce-time"),
        "published_at": _time(event.published_at),
        "received_at": _time(event.received_at),
        "done_at": _time(event.done_at),
    }


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
