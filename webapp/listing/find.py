"""Find a page of the list: its runs, and the cursors of the pages before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from webapp.annotations.models import Annotation
from webapp.listing.batch import Asked, InList, run_batch
from webapp.listing.conditions import Narrowed, narrow
from webapp.listing.names import Names
from webapp.listing.query import Query
from webapp.listing.sorting import Cursor, Segment, Sort
from webapp.run.summary import Listed, listed


@dataclass(frozen=True)
class Page:
    """A page. ``pinned`` come before the ``runs`` of the first page; a cursor is None if there is no such page."""

    pinned: list[Listed]
    runs: list[Listed]
    next: Cursor | None
    previous: Cursor | None


@dataclass(frozen=True)
class Walk:
    """Queries to run in turn until ``most`` runs are found."""

    asked: list[Asked]
    most: int


def find(
    query: Query,
    sort: Sort,
    limit: int,
    cursor: Cursor | None = None,
    *,
    hidden: frozenset[str],
    pinned_first: bool = True,
    leave_out: Q | None = None,
) -> Page:
    """Find one page for a reader from whom the experiments ``hidden`` are hidden. ``leave_out`` matches runs that are
    on no page unless they are pinned; ``sort`` must then be by a column of runs. At most fourteen statements; most
    pages take seven.
    """
    names = Names.of([*query.measures, *sort.measures])
    segments, [narrowed] = sort.segments(names), narrow([query], hidden, names)
    pinned_ids = list(Annotation.objects.filter(pinned=True).values_list("pk", flat=True)) if pinned_first else []
    backwards = cursor is not None and cursor.backwards
    pinned = walk(segments, narrowed, len(pinned_ids), only=Q(InList("run_id", pinned_ids)))
    rest = ~leave_out if leave_out else Q()
    rest &= ~Q(InList("run_id", pinned_ids)) if pinned_ids else Q()
    others = walk(segments, narrowed, limit + 1, cursor, rest or None)
    found, first = follow([others, pinned])
    more, shown = len(found) > limit, found[:limit]
    begins = cursor is None or (backwards and not more)
    runs = listed([*(first if begins else []), *shown])
    page = [runs[run_id] for run_id in (reversed(shown) if backwards else shown)]

    def beside(item: int, towards_start: bool) -> Cursor | None:
        return Cursor.at(page[item].run, segments, towards_start) if page else None

    return Page(
        pinned=[runs[run_id] for run_id in first] if begins else [],
        runs=page,
        next=beside(-1, False) if backwards or more else None,
        previous=None if begins else beside(0, True),
    )


def walk(
    segments: Sequence[Segment], narrowed: Narrowed, most: int, cursor: Cursor | None = None, only: Q | None = None
) -> Walk:
    """Build the queries of the next runs beyond the cursor that match the conditions."""
    backwards = cursor is not None and cursor.backwards
    begin = cursor.segment if cursor else 0
    stretch = reversed(segments[: begin + 1]) if backwards else segments[begin:]
    asked = []
    for number, segment in enumerate(stretch):
        rows = narrowed.apply(segment.rows)
        beyond = cursor.place if cursor and number == 0 else None
        asked.append(segment.ordered(rows.filter(only) if only else rows, backwards, beyond)[:most])
    return Walk(asked, most)


def follow(walks: Sequence[Walk]) -> list[list[str]]:
    """The run IDs of each walk. The number of statements is that of the longest walk's segments, often one."""
    found: list[list[str]] = [[] for _ in walks]
    for depth in range(max((len(each.asked) for each in walks), default=0)):
        unfilled = [n for n, each in enumerate(walks) if depth < len(each.asked) and len(found[n]) < each.most]
        answers = run_batch([walks[n].asked[depth] for n in unfilled])
        for n, run_ids in zip(unfilled, answers, strict=True):
            found[n] = (found[n] + run_ids)[: walks[n].most]
    return found
