"""What the inbox knows of the messages that a seek would bring again: the same query for every preview."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q

from store.models import InboxEvent, Snapshot
from warmboard.contract.events import SWEEP_SOURCE
from warmboard.contract.subscription import Wish

NOT_FROM_PUBSUB = (SWEEP_SOURCE, "/warmboard/workers")
"""Sources of events that the workers have recorded themselves."""
OTHERS = (
    "Other messages may come: those whose rows are deleted, and those that never arrived. Pub/Sub brings what it has "
    "retained."
)
LATE = timedelta(minutes=5)
"""How much earlier than its publication a message may seem to arrive: two clocks."""


@dataclass(frozen=True)
class Recalled:
    """The events of runs that the inbox has from a time on. ``states``: state → number of events."""

    states: dict[str, int]
    runs: int

    def __str__(self) -> str:
        total = sum(self.states.values())
        if not total:
            return "The inbox has no events of that range."
        events, runs = _count(total, "event"), _count(self.runs, "run")
        states = ", ".join(f"{number:,} {state}" for state, number in sorted(self.states.items()))
        return f"The inbox has {events} of {runs} from then on ({states}). These runs would be warmed again."


def recalled(wish: Wish) -> Recalled | None:
    """What the inbox has of a seek's range; None if the snapshot is unknown. Two queries."""
    since = wish.to
    if wish.snapshot:
        since = Snapshot.objects.filter(pk=wish.snapshot).values_list("oldest_at", flat=True).first()
    if since is None:
        return None
    # The index is by state and arrival, and no message arrives before it is published.
    events = InboxEvent.objects.filter(
        state__in=InboxEvent.State.values, received_at__gte=since - LATE, published_at__gte=since
    )
    own = Q(pk__in=[])
    for source in NOT_FROM_PUBSUB:
        own |= Q(source__startswith=source)
    events = events.exclude(own | Q(run_id=""))
    states = dict(events.order_by().values_list("state").annotate(Count("pk")))
    return Recalled(states, events.order_by().values("run_id").distinct().count())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
