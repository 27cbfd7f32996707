"""Runs in words: the rows of the list, and which columns they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from store.models import Run
from webapp.annotations.models import Annotation, Tag
from webapp.listing.query import Condition
from webapp.listing.sparkline import Sparkline, sparkline
from webapp.listing.view import Column, View
from webapp.run.summary import Listed
from webapp.run.words import NO_VALUE, STATE_WORDS, STATUS_WORDS, ago, number

# Of these the key that most of the runs have is shown.
FAVOURITES = (
    ("metric", ("final_val_loss", "val_loss", "final_loss", "loss", "test_loss")),
    ("metric", ("test_recall_at_10", "recall_at_10", "val_recall_at_10")),
    ("param", ("optimizer",)),
    ("param", ("learning_rate", "lr")),
    ("param", ("embedding_dim",)),
    ("param", ("batch_size",)),
)
MOST_CHOSEN, MOST_OFFERED, LONGEST_CELL = 5, 200, 24


@dataclass(frozen=True)
class Cell:
    """``text`` is what is shown, ``whole`` the value where it is longer, else empty."""

    label: str
    text: str
    number: bool
    whole: str = ""


@dataclass(frozen=True)
class Link:
    """A text that leads to an address of the list."""

    text: str
    address: str
    current: bool = False


@dataclass(frozen=True)
class Row:
    """One run of the list, in words. Each tag leads to the runs that have it too."""

    listed: Listed
    sparkline: Sparkline
    status: str
    state: str
    cells: list[Cell]
    started: str
    ended: str
    tags: list[Link]

    @property
    def run(self) -> Run:
        return self.listed.run

    @property
    def address(self) -> str:
        return reverse("run", args=[self.run.run_id])

    @property
    def said(self) -> Annotation | None:
        return self.listed.annotation

    @classmethod
    def of(cls, listed: Listed, columns: Sequence[Column], view: View, now: datetime) -> Row:
        run = listed.run
        return cls(
            listed=listed,
            sparkline=sparkline(run.sparkline),
            status=STATUS_WORDS.get(run.status, run.status.lower()),
            state=STATE_WORDS[listed.state],
            cells=[_cell(listed, column) for column in columns],
            started=ago(run.start_time, now) if run.start_time else NO_VALUE,
            ended=ago(run.end_time, now) if run.end_time else NO_VALUE,
            tags=[_tag_link(tag, view) for tag in listed.annotation.tags.all()] if listed.annotation else [],
        )


def choose_columns(runs: Sequence[Listed]) -> tuple[Column, ...]:
    """What tells these runs apart at a glance: the best known metrics and parameters, or else the commonest."""
    counts = _count_keys(runs)
    chosen = []
    for kind, keys in FAVOURITES:
        known = [(counts[Column(kind, key)], key) for key in keys if counts[Column(kind, key)]]
        if known:
            chosen.append(Column(kind, max(known, key=lambda item: item[0])[1]))
    if any(column.kind == "metric" for column in chosen):
        return tuple(chosen[:MOST_CHOSEN])
    commonest = sorted(counts, key=lambda column: (-counts[column], str(column)))
    metrics = [column for column in commonest if column.kind == "metric"]
    params = [column for column in commonest if column.kind == "param" and column not in chosen]
    return tuple([*metrics[:2], *chosen, *params][:MOST_CHOSEN])


def offered_columns(runs: Iterable[Listed], chosen: Sequence[Column]) -> list[Column]:
    """Those that are chosen, and what else these runs have, by name."""
    others = sorted(_count_keys(runs).keys() - set(chosen), key=lambda column: (column.kind, column.key))
    return [*chosen, *others[:MOST_OFFERED]]


def _tag_link(tag: Tag, view: View) -> Link:
    return Link(str(tag), view.with_(Condition("tag", "=", tag.value, tag.name, quoted=True)).address)


def _count_keys(runs: Iterable[Listed]) -> Counter[Column]:
    counts: Counter[Column] = Counter()
    for listed in runs:
        counts.update(Column("param", key) for key in listed.run.params)
        counts.update(Column("metric", key) for key in listed.run.final_metrics)
    return counts


def _cell(listed: Listed, column: Column) -> Cell:
    if column.kind == "metric":
        value = listed.run.final_metrics.get(column.key)
        return Cell(column.key, number(value), True, "" if value is None else str(value))
    text = str(listed.run.params.get(column.key, NO_VALUE))
    if len(text) <= LONGEST_CELL:
        return Cell(column.key, text, False)
    return Cell(column.key, text[: LONGEST_CELL - 1] + "…", False, text)
