"""One attempt at warming a run, and the one retry policy: for events in the inbox and for rebuilds alike.

An outage (``workers/servers/outage.py``) costs no attempt: the run waits until its tracking server, the database or
Redis is back. What else is transient (``TRANSIENT``) is retried with back-off, up to WARM_ATTEMPTS attempts. Everything
else is parked at once. The reason is recorded in each case.

An attempt is idempotent: a second one changes nothing but the time at which the run was warmed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from django.db import Error, OperationalError, close_old_connections

from store import logs
from store.models import InboxEvent, Run
from store.warm import HotCopyError
from workers import counts, inbox, logged, tracing
from workers.backoff import backoff
from workers.errors import PermanentError, TransientError
from workers.fetch.fetcher import TrackingServer
from workers.lease import LostClaimError, Renewal
from workers.servers import bulkhead, gate, held
from workers.servers.gate import HeldBackError
from workers.servers.outage import Outage, is_down, outage_of
from workers.settings import Settings
from workers.warm import rebuilds
from workers.warm.pipeline import rebuild_from_source, warm_from

log = logging.getLogger(__name__)
Alive = Callable[[], None]
TRANSIENT = (TransientError, HotCopyError, OperationalError)
"""Temporary errors: of MLflow, of Redis, of the database. All others are parked at once."""
FIRST_SECONDS = 1.0
"""The first pause of an event: a reader may be waiting for the run."""
FIRST_REBUILD_SECONDS = 60.0
"""The first pause of a rebuild, which is background work."""


class Postponed(Exception):
    """The attempt failed for a transient reason. The next one is due in ``seconds``."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(f"{reason}; next attempt in {seconds:.1f} s")
        self.seconds = seconds


class UnrecordedError(Exception):
    """The database went down before the outcome was recorded. ``owed``: the attempts to be given back later."""

    def __init__(self, reason: str, owed: held.Owed) -> None:
        super().__init__(reason)
        self.owed = owed


class Claim(Protocol):
    """Work that this worker holds, and where the outcome of an attempt is recorded."""

    kind: ClassVar[str]

    @property
    def attempts(self) -> int:
        """How many there were, this one included."""

    def renew(self) -> bool:
        """Extend its lease. Returns whether it still holds. Raises DatabaseError."""

    def forfeit(self) -> None:
        """It was lost during the attempt, which doesn't count."""

    def finish(self) -> None: ...

    def postpone(self, reason: str, seconds: float) -> None: ...

    def wait(self, reason: str, seconds: float | None) -> None:
        """Postpone without counting the attempt; without ``seconds`` until the tracking server is back."""

    def give_up(self, reason: str) -> None: ...


AnyClaim = TypeVar("AnyClaim", bound=Claim)


@dataclass(frozen=True)
class EventClaim:
    """A claimed event of the inbox."""

    kind: ClassVar[str] = "event"
    event: InboxEvent

    @property
    def attempts(self) -> int:
        return self.event.attempts

    def renew(self) -> bool:
        return inbox.renew([self.event])

    def forfeit(self) -> None:
        inbox.forfeit(self.event)

    def finish(self) -> None:
        inbox.finish([self.event])

    def postpone(self, reason: str, seconds: float) -> None:
        inbox.postpone([self.event], reason, seconds)

    def wait(self, reason: str, seconds: float | None) -> None:
        inbox.wait([self.event], reason, seconds)

    def give_up(self, reason: str) -> None:
        inbox.give_up([self.event], reason)


def attempt(
    claims: Sequence[AnyClaim],
    work: Callable[[Sequence[AnyClaim], Alive], str],
    max_attempts: int,
    first: float = FIRST_SECONDS,
    server: TrackingServer | None = None,
) -> str:
    """Do ``work`` once for all claims that have an attempt left, and record the outcome in each.

    The claims are renewed meanwhile; ``work`` gets a function that raises LostClaimError if none of them holds any
    more. ``first`` is the first pause of the back-off, in seconds; ``server`` is the run's tracking server, if it is
    configured. Returns what ``work`` returned.

    Raises HeldBackError if that server is down; Postponed if any claim has attempts left, or waits for the database or
    Redis; else PermanentError; or the error that ``work`` raised, if it was not transient.
    """
    outcome = "failed"
    try:
        done = _attempt(claims, work, max_attempts, first, server)
        outcome = "warm"
    except LostClaimError as error:
        outcome, done = "lost", f"stopped: {error}"
    except (HeldBackError, Postponed) as error:
        outcome = "held_back" if isinstance(error, HeldBackError) else "postponed"
        raise
    except Error as error:
        outcome = "unrecorded" if is_down(error) else "failed"
        raise
    finally:
        counts.attempted(server.name if server else None, claims[0].kind, outcome)
    return done


def _attempt(
    claims: Sequence[AnyClaim],
    work: Callable[[Sequence[AnyClaim], Alive], str],
    max_attempts: int,
    first: float,
    server: TrackingServer | None,
) -> str:
    claims = _not_worn_out(claims, max_attempts)
    try:
        with Renewal(lambda: sum(claim.renew() for claim in claims) > 0, inbox.lease().total_seconds()) as renewal:
            outcome = work(claims, renewal.check)
        for claim in claims:
            claim.finish()
    except LostClaimError:
        for claim in claims:
            claim.forfeit()
        raise
    except HeldBackError as error:
        raise _wait(claims, Outage(str(error), None)) from error
    except Exception as error:
        # A connection that broke must not keep the outcome from being recorded.
        close_old_connections()
        if outage := outage_of(error, server):
            raise _wait(claims, outage) from error
        if isinstance(error, TRANSIENT):
            raise _retry(claims, str(error), max_attempts, first) from error
        # Else a bug of ours, or a run of an unforeseen shape: a retry would not help.
        known = isinstance(error, PermanentError)
        _give_up(claims, str(error) if known else f"{type(error).__name__}: {error}")
        raise
    return outcome


def warm(run_id: str, settings: Settings, worker: str, owed: held.Owed = ()) -> str:
    """Claim the run's unfinished events and warm the run; returns the outcome in words. ``owed`` are attempts to be
    given back first.

    Raises HeldBackError if its tracking server is down or busy, Postponed, UnrecordedError, or the error for which it
    gave up. But for UnrecordedError the inbox has the reason.
    """
    try:
        held.give_back(owed)
        owed = ()
        name = Run.objects.filter(pk=run_id).values_list("tracking_server", flat=True).first() or ""
        try:
            with _admitted(name, run_id, settings):
                events = inbox.claim(run_id, worker)
                owed = [(event.pk, event.claims) for event in events]
                return _attempt_events(events, settings.tracking_servers.get(name), settings)
        except HeldBackError as error:
            held.hold(run_id, str(error))
            raise
    except Error as error:
        if owed and is_down(error):
            raise UnrecordedError(f"the database is down: {error}", owed) from error
        raise


@contextmanager
def _admitted(server: str, run_id: str, settings: Settings) -> Iterator[None]:
    """Hold a process for a fetch of the run, when it is its turn. Raises HeldBackError."""
    with bulkhead.place(server, run_id):
        time.sleep(gate.admit(server, settings.recovery_runs_per_second))
        yield


def _attempt_events(events: list[InboxEvent], server: TrackingServer | None, settings: Settings) -> str:
    if not events:
        return "nothing to do: no event that waits"
    # An attempt may settle several events: the newest says what to fetch.
    logs.note(**logged.of_event(events[-1]), attempt=events[-1].attempts)
    claims = [EventClaim(event) for event in events]
    newest = events[-1]
    with tracing.span("warm", newest.attributes, run_id=newest.run_id, attempt=newest.attempts):
        return attempt(
            claims,
            lambda left, alive: _warm([claim.event for claim in left], settings, alive),
            settings.warm_attempts,
            server=server,
        )


def rebuild(run_id: str, attempts: int, settings: Settings) -> str:
    """Rebuild the entries of a run whose schema is outdated; ``attempts`` is how many there were before.

    Raises HeldBackError if it must be fetched and its tracking server is down or busy, Postponed, or the error for
    which it gave up. The run's row has the reason.
    """
    claim = rebuilds.claim(run_id, attempts, settings.warm_attempts)
    if claim is None:
        return "nothing to do: another worker claimed it"
    logs.note(run_id=run_id, attempt=claim.attempts)
    name = Run.objects.values_list("tracking_server", flat=True).get(pk=run_id)
    server = settings.tracking_servers.get(name)
    return attempt(
        [claim],
        lambda _, alive: rebuild_entries(run_id, settings, alive),
        settings.warm_attempts,
        FIRST_REBUILD_SECONDS,
        server,
    )


def rebuild_entries(run_id: str, settings: Settings, alive: Alive = lambda: None) -> str:
    """Make a run's entries again: from its source in the store, without asking MLflow; without a whole source, from
    MLflow; if MLflow lacks the run, from what the source has. ``alive`` is called often during a fetch.

    Raises TransientError, PermanentError, HotCopyError, HeldBackError.
    """
    if warmed := rebuild_from_source(run_id, settings):
        return str(warmed)
    try:
        server = server_named(Run.objects.get(pk=run_id).tracking_server, settings)
        with _admitted(server.name, run_id, settings):
            return str(warm_from(server, run_id, settings, alive=alive))
    except PermanentError as error:
        warmed = rebuild_from_source(run_id, settings, in_part=True) if error.is_gone else None
        if warmed is None:
            raise
        return f"{warmed}, from the points that an older version kept: {error}"


def server_named(name: str, settings: Settings) -> TrackingServer:
    """The configured server of that name. Raises PermanentError."""
    try:
        return settings.tracking_servers[name]
    except KeyError:
        known = ", ".join(sorted(settings.tracking_servers))
        raise PermanentError(
            f"there is no tracking server named {name!r}; configured: {known}. "
            "Add it to MLFLOW_TRACKING_SERVERS, then replay the run"
        ) from None


def _warm(events: list[InboxEvent], settings: Settings, alive: Alive) -> str:
    event = events[-1].event()
    server = server_named(event.tracking_server, settings)
    # Steps that were logged late or twice show only in a whole fetch; the end of a run, or a change, brings one.
    whole = any(row.type not in inbox.LIVE for row in events)
    return str(warm_from(server, event.run_id, settings, incremental=not whole, alive=alive))


def _not_worn_out(claims: Sequence[AnyClaim], max_attempts: int) -> list[AnyClaim]:
    """The claims that have an attempt left. Gives up the others: their last attempt ended its worker.

    Raises PermanentError if none is left.
    """
    reason = f"gave up: attempt {max_attempts} ended without a result, as if its worker was killed"
    _give_up([claim for claim in claims if claim.attempts > max_attempts], reason)
    left = [claim for claim in claims if claim.attempts <= max_attempts]
    if not left:
        raise PermanentError(reason)
    return left


def _retry(claims: Sequence[Claim], reason: str, max_attempts: int, first: float) -> Exception:
    """Postpone the claims that have attempts left, give up the others; returns the error to raise."""
    gave_up = f"gave up after {max_attempts} attempts: {reason}"
    _give_up([claim for claim in claims if claim.attempts >= max_attempts], gave_up)
    left = [claim for claim in claims if claim.attempts < max_attempts]
    if not left:
        return PermanentError(gave_up)
    seconds = backoff(min(claim.attempts for claim in left), first)
    for claim in left:
        claim.postpone(reason, seconds)
    return Postponed(reason, seconds)


def _wait(claims: Sequence[Claim], outage: Outage) -> Exception:
    """Postpone the claims and give their attempts back; returns the error to raise."""
    for claim in claims:
        claim.wait(outage.reason, outage.seconds)
    if outage.seconds is None:
        return HeldBackError(outage.reason)
    return Postponed(outage.reason, outage.seconds)


def _give_up(claims: Sequence[Claim], reason: str) -> None:
    for claim in claims:
        claim.give_up(reason)
