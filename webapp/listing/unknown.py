"""What to say about names that no run has: an error that otherwise looks like a query without matches."""

from __future__ import annotations

from difflib import get_close_matches

from django.db import connection

from store.models import RunMetric, RunParam
from webapp.listing.batch import run_batch
from webapp.listing.names import Measure
from webapp.listing.view import View
from webapp.visibility.reader import visible

MOST_NAMES = 5000
ROWS: dict[str, type[RunMetric | RunParam]] = {"metric": RunMetric, "param": RunParam}
KINDS = {"metric": "metric", "param": "parameter"}
# The distinct keys, each by one step in the index: DISTINCT would read all rows.
_KEYS = """
WITH RECURSIVE names(key) AS (
    SELECT min(key) FROM {table}
    UNION ALL SELECT (SELECT min(key) FROM {table} WHERE key > names.key) FROM names WHERE names.key IS NOT NULL
)
SELECT key FROM names WHERE key IS NOT NULL LIMIT %s
"""


def unknown(view: View, hidden: frozenset[str]) -> list[str]:
    """A sentence for each parameter and metric of the query and the order that no run has. One statement, and two for
    each kind with an unknown name.
    """
    named = [(each.field, each.measure) for each in view.query.conditions if each.field in ROWS]
    kind, _, key = view.sort.name.partition(".")
    if kind in ROWS:
        named.append((kind, Measure.parse(key) if kind == "metric" else Measure(key)))
    named = list(dict.fromkeys(named))
    asked = [(kind, key) for kind, measure in named for key in (measure.whole, measure.key)]
    known = _known(asked, hidden)
    lacking = [
        (kind, measure.key) for kind, measure in named if not {(kind, measure.whole), (kind, measure.key)} & known
    ]
    return [_sentence(kind, key, hidden) for kind, key in dict.fromkeys(lacking)]


def _known(asked: list[tuple[str, str]], hidden: frozenset[str]) -> set[tuple[str, str]]:
    """Those of these names that a run has which the reader may see. At most one statement."""
    found = [visible(ROWS[kind].objects.filter(key=key), hidden, "run__") for kind, key in asked]
    answers = run_batch([rows.values_list("run_id")[:1] for rows in found])
    return {name for name, runs in zip(asked, answers, strict=True) if runs}


def _sentence(kind: str, key: str, hidden: frozenset[str]) -> str:
    near = [(kind, other) for other in get_close_matches(key, _names(kind), n=3, cutoff=0.5)]
    known = _known(near, hidden)
    nearest = [f" The nearest is {name}." for kind, name in near if (kind, name) in known][:1]
    return f"No run has the {KINDS[kind]} {key}.{''.join(nearest)}"


def _names(kind: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_KEYS.format(table=ROWS[kind]._meta.db_table), [MOST_NAMES])
        return [key for (key,) in cursor.fetchall()]
