"""The rows of the list, and the choice of their columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Context
from typing import Any

from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from store.models import Run
from warmboard.contract.directions import Direction, direction
from webapp.annotations.models import Annotation, Tag
from webapp.listing.columns import Cell, Column, Key, Measured
from webapp.listing.measured import is_system
from webapp.listing.nested import Nested
from webapp.listing.query import Condition, Query
from webapp.listing.view import View

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
    """One run of the list: its ``<td>`` after the first cell, which row.html writes, and its tags, each a link to its
    runs. A template of the cells took a third of the page's time.

    ``depth`` is above zero for a nested run, below its parent. ``nested`` is the number of its own nested runs,
    ``toggle`` the address that folds or unfolds them, ``children`` their rows if they are unfolded.
    """

    listed: Measured
    cells: SafeString
    tags: list[Link]
    depth: int = 0
    nested: int = 0
    toggle: str = ""
    is_open: bool = False
    children: Sequence[Row] = ()

    @property
    def run(self) -> Run:
        return self.listed.run

    @property
    def address(self) -> str:
        return reverse("run", args=[self.run.run_id])

    @property
    def all_nested(self) -> str:
        """The address of the list of all its nested runs; empty if they are all here, or folded."""
        more = self.is_open and self.nested > len(self.children)
        return View(Query((Condition("parent", "=", self.run.run_id),))).address if more else ""

    @property
    def said(self) -> Annotation | None:
        return self.listed.annotation

    @classmethod
    def of(cls, listed: Measured, columns: Sequence[Column], view: View, now: datetime, **more: Any) -> Row:
        return cls(
            listed=listed,
            cells=_cells([column.cell(listed, now) for column in columns if column.cell]),
            tags=[_tag_link(tag, view) for tag in listed.annotation.tags.all()] if listed.annotation else [],
            **more,
        )


@dataclass(frozen=True)
class Rows:
    """Makes the rows of these runs, each above its unfolded nested runs."""

    runs: Mapping[str, Measured]
    columns: Sequence[Column]
    view: View
    now: datetime
    family: Nested

    def row(self, run_id: str, depth: int = 0) -> Row:
        nested = self.family.counts.get(run_id, 0)
        return Row.of(
            self.runs[run_id],
            self.columns,
            self.view,
            self.now,
            depth=depth,
            nested=nested,
            toggle=self.view.toggled(run_id).address or "./" if nested else "",
            is_open=run_id in self.family.children,
            children=[self.row(child, depth + 1) for child in self.family.children.get(run_id, ())],
        )


def choose_keys(counts: Mapping[Key, int]) -> tuple[Key, ...]:
    """Choose the columns, of keys with their numbers of runs: the usual metrics and parameters or, without those, the
    most common. Losses and scores come before other metrics, those of the machine last.
    """
    chosen = []
    for kind, keys in FAVOURITES:
        known = [(counts[Key(kind, key)], key) for key in keys if Key(kind, key) in counts]
        if known:
            chosen.append(Key(kind, max(known, key=lambda item: item[0])[1]))
    if any(column.kind == "metric" for column in chosen):
        return tuple(chosen[:MOST_CHOSEN])
    commonest = sorted(counts, key=lambda column: (*_dullness(column), -counts[column], str(column)))
    metrics = [column for column in commonest if column.kind == "metric"]
    params = [column for column in commonest if column.kind == "param" and column not in chosen]
    return tuple([*metrics[:2], *chosen, *params][:MOST_CHOSEN])


def offered_keys(counts: Mapping[Key, int], chosen: Sequence[Key]) -> list[Key]:
    """All possible columns: the chosen ones, then the other keys by name, and the machine's metrics last."""
    others = sorted(counts.keys() - set(chosen), key=lambda column: (is_system(column), column.kind, column.key))
    return [*chosen, *others[:MOST_OFFERED]]


def example(runs: Sequence[Measured], keys: Sequence[Key]) -> str:
    """A query that finds the first run, by the first metric that is a column and has a finite value; or empty."""
    metrics = [key for key in keys if key.is_metric]
    for run, key in ((run, key) for run in runs for key in metrics):
        number = run.numbers.get(key.key, math.nan)
        if math.isfinite(number):
            return str(Query((Condition("metric", "<=", str(rounded_up(number)), **vars(key.measure)),)))
    return ""


def rounded_up(number: float) -> float:
    """A short number that is no less: of four digits, unless that is infinite."""
    short = float(Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(number))
    return short if math.isfinite(short) else number


def _dullness(column: Key) -> tuple[bool, bool]:
    unknown = column.is_metric and direction(column.key) is Direction.UNKNOWN
    return is_system(column), unknown


def _cells(cells: Iterable[Cell]) -> SafeString:
    return format_html_join("", "<td{}>{}</td>", ((cell.attributes, cell.content) for cell in cells))


def _tag_link(tag: Tag, view: View) -> Link:
    return Link(str(tag), view.with_(Condition("tag", "=", tag.value, tag.name, quoted=True)).address)
