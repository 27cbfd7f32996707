"""What to say about names that no run has: an error that otherwise looks like a query without matches."""

from __future__ import annotations

from difflib import get_close_matches

from django.db.models import Model

from store.models import Run
from webapp.annotations.models import Tag
from webapp.listing.batch import run_batch
from webapp.listing.known import NAMES, names_of
from webapp.listing.names import Measure
from webapp.listing.query import Condition
from webapp.listing.view import View
from webapp.visibility.reader import visible

LACKS = {
    "metric": "has the metric",
    "param": "has the parameter",
    "tag": "has the tag",
    "experiment": "is in the experiment",
}
RUNS: dict[type[Model], str] = {Run: "", Tag: "annotation__run__"}
"""The lookups from rows to the columns of their runs, where it is not ``run__``."""


def unknown(view: View, hidden: frozenset[str]) -> list[str]:
    """A sentence for each parameter, metric, tag and experiment of the query and the order that no run has. One
    statement, and at most two for each unknown name.
    """
    named = [name for condition in view.query.conditions for name in _named(condition)]
    kind, _, key = view.sort.name.partition(".")
    if key and kind in LACKS:
        named.append((kind, Measure.parse(key) if kind == "metric" else Measure(key)))
    named = list(dict.fromkeys(named))
    asked = [(kind, key) for kind, measure in named for key in (measure.whole, measure.key)]
    known = _known(asked, hidden)
    lacking = [
        (kind, measure.key) for kind, measure in named if not {(kind, measure.whole), (kind, measure.key)} & known
    ]
    return [_sentence(kind, key, hidden) for kind, key in dict.fromkeys(lacking)]


def _named(condition: Condition) -> list[tuple[str, Measure]]:
    """The name in the condition, with its kind."""
    if condition.field == "experiment":
        return [("experiment", Measure(condition.value))] if condition.operator == "=" else []
    return [(condition.field, condition.measure)] if condition.field in LACKS else []


def _known(asked: list[tuple[str, str]], hidden: frozenset[str]) -> set[tuple[str, str]]:
    """Those of these names that a run has which the reader may see. At most one statement."""
    places = [(name, column) for name in asked for column in NAMES[name[0]]]
    found = [
        visible(column.rows(key), hidden, RUNS.get(column.model, "run__")).values_list(column.run)
        for (_, key), column in places
    ]
    answers = run_batch([rows[:1] for rows in found])
    return {name for (name, _), runs in zip(places, answers, strict=True) if runs}


def _sentence(kind: str, key: str, hidden: frozenset[str]) -> str:
    near = [(kind, other) for other in get_close_matches(key, names_of(kind, key), n=3, cutoff=0.5)]
    known = _known(near, hidden)
    nearest = [f" The nearest is {name}." for kind, name in near if (kind, name) in known][:1]
    return f"No run {LACKS[kind]} {key}.{''.join(nearest)}"
