"""The columns of the list of runs. ``COLUMNS`` and ``of_key`` declare all that head, rows, order and files need."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from store.models import LONGEST_KEY
from warmboard.contract.cloudevents import format_time
from warmboard.contract.directions import lower_is_better
from webapp.exports.cells import digits
from webapp.listing.names import Measure, split
from webapp.listing.sparkline import sparkline
from webapp.run.summary import Listed
from webapp.run.words import NO_VALUE, STATE_WORDS, STATUS_WORDS, ago, number, quiet_since

LONGEST_CELL = 24
NO_ATTRIBUTES = SafeString("")
Value = str | float | None


@dataclass(frozen=True)
class Measured(Listed):
    """A run of a list with its numbers, by the names of columns: ``val_loss``, ``val_loss.min``."""

    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Key:
    """A parameter or a number of a metric that a column can show; as text ``param.NAME`` or ``metric.NAME``."""

    kind: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Key:
        """Raises ValueError if the text names neither."""
        kind, key = split(text)
        if kind not in ("param", "metric") or not key or len(key) > LONGEST_KEY or "\x00" in key:
            raise ValueError(f"{text!r} is not a column; use param.NAME or metric.NAME")
        return cls(kind, key)

    def __str__(self) -> str:
        return f"{self.kind}.{self.key}"

    @property
    def is_metric(self) -> bool:
        return self.kind == "metric"

    @property
    def measure(self) -> Measure:
        return Measure.parse(self.key)

    @property
    def pieces(self) -> list[str]:
        """The key in pieces, so that a line can break after each."""
        return re.findall(r"[^_/.-]*[_/.-]+|[^_/.-]+", self.key)


@dataclass(frozen=True)
class Cell:
    """One ``<td>``: ``attributes`` begin with a space, ``content`` is text or HTML."""

    attributes: SafeString
    content: str


@dataclass(frozen=True)
class Column:
    """One column. ``name`` is its name in addresses, in files and on narrow screens.

    ``title`` is its head on the page; empty: not on the page. ``index`` are the database columns that sort by it;
    empty: the head doesn't sort, unless the column has a ``key``. ``cell`` and ``value`` make a run's cell on the page
    and in a file, where the column has one.
    """

    name: str
    title: str = ""
    css: str = ""
    index: tuple[str, ...] = ()
    descending_first: bool = True
    cell: Callable[[Measured, datetime], Cell] | None = None
    value: Callable[[Measured], Value] | None = None
    key: Key | None = None

    @property
    def sorts(self) -> bool:
        return bool(self.index or self.key)


def _td(css: str, label: str = "") -> SafeString:
    return format_html(' class="{}" data-label="{}"', css, label) if label else format_html(' class="{}"', css)


def _curve(listed: Listed, now: datetime) -> Cell:
    return Cell(_SPARK, sparkline(listed.run.sparkline).svg())


def _status(listed: Listed, now: datetime) -> Cell:
    word = escape(status_word(listed))
    quiet = quiet_since(listed.run, now)
    said = format_html('<span class="sub">last value {}</span>', ago(quiet, now)) if quiet else ""
    return Cell(_STATUS, mark_safe(f'<span class="status status-{word}">{word}</span>{said}'))  # noqa: S308 - escaped


def _epochs(listed: Listed, now: datetime) -> Cell:
    run = listed.run
    if run.epochs is None:
        return Cell(_EPOCHS, NO_VALUE)
    if run.unit == "epoch":
        return Cell(_EPOCHS, str(run.epochs))
    word = run.unit + "s"[: run.epochs != 1]
    return Cell(_STEPS, format_html('{} <span class="unit">{}</span>', run.epochs, word))


def _moment(name: str, field: str) -> Column:
    attributes = _td("when", name)

    def cell(listed: Listed, now: datetime) -> Cell:
        moment: datetime | None = getattr(listed.run, field)
        if moment is None:
            return Cell(attributes, NO_VALUE)
        html = f'<time datetime="{moment.isoformat()}">{ago(moment, now)}</time>'
        return Cell(attributes, mark_safe(html))  # noqa: S308 - digits and letters

    def value(listed: Listed) -> str:
        moment: datetime | None = getattr(listed.run, field)
        return format_time(moment) if moment else ""

    return Column(name, name.capitalize(), "", (field, "run_id"), cell=cell, value=value)


def _charts(listed: Listed, now: datetime) -> Cell:
    reason = format_html(' title="{}"', listed.reason) if listed.reason else NO_ATTRIBUTES
    html = f'<span class="state state-{listed.state}"{reason}>{STATE_WORDS[listed.state]}</span>'
    return Cell(_STATE, mark_safe(html))  # noqa: S308 - words of ours, and an attribute that is escaped


_SPARK, _STATUS, _STATE = _td("spark"), _td("status-cell"), _td("state-cell")
_EPOCHS, _STEPS = _td("number", "epochs"), _td("number")


def status_word(listed: Listed) -> str:
    return STATUS_WORDS.get(listed.run.status, listed.run.status.lower())


COLUMNS = (
    Column("announced", index=("announced_at", "run_id")),
    Column("run_id", value=lambda listed: listed.run.run_id),
    # Its cell is the row's head, which has links and tags: row.html.
    Column("name", "Run", index=("name", "run_id"), descending_first=False, value=lambda listed: str(listed.run)),
    Column("experiment", value=lambda listed: listed.run.experiment_name),
    Column("curve", "Validation loss", "curve", cell=_curve),
    Column(
        "status", "Status", index=("status", "announced_at", "run_id"), descending_first=False,
        cell=_status, value=status_word,
    ),
    Column(
        "epochs", "Epochs", "number", ("epochs", "announced_at", "run_id"),
        cell=_epochs, value=lambda listed: listed.run.epochs,
    ),
    # What the epochs are; on the page their cell says it.
    Column("unit", value=lambda listed: "" if listed.run.epochs is None else listed.run.unit),
    _moment("started", "start_time"),
    _moment("ended", "end_time"),
    Column("charts", "Charts", cell=_charts),
)  # fmt: skip
KEYS_AFTER = "epochs"
"""The page shows parameters and metrics after this column; files have them at the end."""
BY_NAME = {column.name: column for column in COLUMNS}
SORTED = {column.name: column.index for column in COLUMNS if column.index}
"""What ``?sort=`` takes besides keys: the database columns of each order."""


def of_key(key: Key) -> Column:
    """The column of a parameter or a number of a metric."""
    return _of_metric(key) if key.is_metric else _of_param(key)


def named(name: str) -> Column:
    """The column that ``?sort=`` names. Raises ValueError for a name of none."""
    return BY_NAME.get(name) or of_key(Key.parse(name))


def shown(keys: Sequence[Key]) -> list[Column]:
    """The columns of the page, in order, with these parameters and metrics."""
    columns = [column for column in COLUMNS if column.title]
    place = columns.index(BY_NAME[KEYS_AFTER]) + 1
    return [*columns[:place], *map(of_key, keys), *columns[place:]]


def exported(keys: Sequence[Key]) -> list[Column]:
    """The columns of a file, in order, with these parameters and metrics."""
    return [*(column for column in COLUMNS if column.value), *map(of_key, keys)]


def _of_metric(key: Key) -> Column:
    attributes = _td("number", key.key)

    def cell(measured: Measured, now: datetime) -> Cell:
        value = measured.numbers.get(key.key)
        if value is None:
            return Cell(attributes, NO_VALUE)
        return Cell(attributes + format_html(' title="{}"', digits(value)), _short(value))

    return Column(
        str(key), key.key, "number", descending_first=not lower_is_better(key.measure.key),
        cell=cell, value=lambda measured: measured.numbers.get(key.key), key=key,
    )  # fmt: skip


def _short(value: float) -> str:
    """The value with four significant digits, a count with all, and a word for what is not finite."""
    if isinstance(value, int):
        return str(value)
    return number(value) if math.isfinite(value) else digits(value)


def _of_param(key: Key) -> Column:
    attributes = format_html(' data-label="{}"', key.key)

    def cell(listed: Listed, now: datetime) -> Cell:
        text = str(listed.run.params.get(key.key, NO_VALUE))
        if len(text) <= LONGEST_CELL:
            return Cell(attributes, text)
        return Cell(attributes + format_html(' title="{}"', text), text[: LONGEST_CELL - 1] + "…")

    return Column(
        str(key), key.key, descending_first=False, cell=cell, key=key,
        value=lambda listed: str(listed.run.params.get(key.key, "")),
    )  # fmt: skip
