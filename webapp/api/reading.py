"""What every JSON answer is made of: the decorators of views that read, and the answer for a run that is not warm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import wraps
from typing import Any, Literal

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from store.state import EXPECT, Outage, State, run_state
from warmboard.contract.cloudevents import format_time
from webapp.api.parameters import BadRequest
from webapp.api.shapes import WaitingFor
from webapp.visibility.reader import reader_of

View = Callable[..., HttpResponseBase]
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class NotWarm:
    """Why there is no body, and what the viewer may expect. ``waiting_for`` is there only while a run is
    pending and its tracking server is down.
    """

    available: Literal[False] = field(default=False, init=False)
    mlflow_run_id: str | None
    state: State
    expect: str
    reason: str = ""
    attempts: int = 0
    waiting_for: WaitingFor | None = None

    def response(self) -> JsonResponse:
        document = asdict(self)
        if self.waiting_for is None:
            del document["waiting_for"]
        return JsonResponse(document, headers=NO_STORE | {"Vary": "Cookie"})


def reading(view: View) -> View:
    """Allow only GET and HEAD, and answer a parameter that can't be used with 400."""

    # A view that changes nothing needs no CSRF token: other methods get 405, not 403.
    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest, **parts: Any) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD"):
            error = {"error": f"{request.method} is not allowed here; GET and HEAD are."}
            return JsonResponse(error, status=405, headers={"Allow": "GET, HEAD"})
        try:
            return view(request, **parts)
        except BadRequest as error:
            return JsonResponse(error.document, status=400)

    answer.only_reads = True  # type: ignore[attr-defined]
    return answer


def reading_bodies(view: View) -> View:
    """``reading`` of stored bodies: the answer depends on the run alone, so ``access/fast_path.py`` may serve it."""
    answer = reading(of_seen_run(view))
    answer.reads_bodies = True  # type: ignore[attr-defined]
    return answer


def of_seen_run(view: View) -> View:
    """Answer hidden runs like unknown runs."""

    @wraps(view)
    def answer(request: HttpRequest, run_id: str, **parts: Any) -> HttpResponseBase:
        if reader_of(request).sees(run_id):
            return view(request, run_id=run_id, **parts)
        found = view(request, run_id="", **parts)
        # Errors don't depend on the run; any other answer is replaced.
        return NotWarm(run_id, "unknown", EXPECT["unknown"]).response() if found.status_code == 200 else found

    return answer


def not_warm(run_id: str) -> JsonResponse:
    """The answer for a run whose charts are not in the store: its state, from its events."""
    state = run_state(run_id)
    waiting_for = outage_document(state.waits_for)
    return NotWarm(run_id, state.state, state.expect, state.reason, state.attempts, waiting_for).response()


def outage_document(outage: Outage | None) -> WaitingFor | None:
    """The outage of the tracking server that a run waits for, as JSON."""
    if outage is None:
        return None
    return {"tracking_server": outage.server, "since": format_time(outage.since), "reason": outage.reason}
