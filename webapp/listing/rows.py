"""The rows of the list, and the choice of their columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from store.models import Run
from webapp.annotations.models import Annotation, Tag
from webapp.listing.columns import Cell, Column, Key
from webapp.listing.query import Condition
from webapp.listing.view import View
from webapp.run.summary import Listed

# Of each group, the list shows the key that most runs have.
FAVOURITES = (
    ("metric", ("final_val_loss", "val_loss", "final_loss", "loss", "test_loss")),
    ("metric", ("test_recall_at_10", "recall_at_10", "val_recall_at_10")),
    ("param", ("optimizer",)),
    ("param", ("learning_rate", "lr")),
    ("param", ("embedding_dim",)),
    ("param", ("batch_size",)),
)
MOST_CHOSEN, MOST_OFFERED = 5, 200


@dataclass(frozen=True)
class Link:
    """A link to another view of the list."""

    text: str
    address: str
    current: bool = False


@dataclass(frozen=True)
class Row:
    """One run of the list: its cells after the first, which row.html writes, and its tags, each a link to its runs."""

    listed: Listed
    cells: list[Cell]
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
        return cls(
            listed=listed,
            cells=[column.cell(listed, now) for column in columns if column.cell],
            tags=[_tag_link(tag, view) for tag in listed.annotation.tags.all()] if listed.annotation else [],
        )


def choose_keys(runs: Sequence[Listed]) -> tuple[Key, ...]:
    """Choose the columns: the usual metrics and parameters or, without those, the most common."""
    counts = _count_keys(runs)
    chosen = []
    for kind, keys in FAVOURITES:
        known = [(counts[Key(kind, key)], key) for key in keys if counts[Key(kind, key)]]
        if known:
            chosen.append(Key(kind, max(known, key=lambda item: item[0])[1]))
    if any(column.kind == "metric" for column in chosen):
        return tuple(chosen[:MOST_CHOSEN])
    commonest = sorted(counts, key=lambda column: (-counts[column], str(column)))
    metrics = [column for column in commonest if column.kind == "metric"]
    params = [column for column in commonest if column.kind == "param" and column not in chosen]
    return tuple([*metrics[:2], *chosen, *params][:MOST_CHOSEN])


def offered_keys(runs: Iterable[Listed], chosen: Sequence[Key]) -> list[Key]:
    """All possible columns: the chosen ones, then the other keys of these runs by name."""
    others = sorted(_count_keys(runs).keys() - set(chosen), key=lambda column: (column.kind, column.key))
    return [*chosen, *others[:MOST_OFFERED]]


def _tag_link(tag: Tag, view: View) -> Link:
    return Link(str(tag), view.with_(Condition("tag", "=", tag.value, tag.name, quoted=True)).address)


def _count_keys(runs: Iterable[Listed]) -> Counter[Key]:
    counts: Counter[Key] = Counter()
    for listed in runs:
        counts.update(Key("param", key) for key in listed.run.params)
        counts.update(Key("metric", key) for key in listed.run.final_metrics)
    return counts
