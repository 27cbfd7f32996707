"""What may come next at the cursor of a query: fields, names, operators and values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from webapp.listing.complete.position import Position, locate
from webapp.listing.complete.suggestion import Suggestion, counted, matching, parsed
from webapp.listing.complete.values import values
from webapp.listing.fields import ABSENT, AMONG, FIELDS, KEYED, PRESENT, WORD
from webapp.listing.known import NAMES, names_of, seen_names
from webapp.listing.names import STATISTICS
from webapp.listing.query import FLAGS, LONGEST, Condition

MOST = 20
MOST_OF_A_KIND = 6
"""Names of each kind, where a name of any kind may be."""
KINDS = ("metric", "param", "tag")
OPERATORS = {
    "=": "= is", "!=": "!= is another", "~": "~ contains", ">": "> greater than", ">=": ">= at least",
    "<": "< less than", "<=": "<= at most", "like": "like: % is any text, _ any character",
    "ilike": "ilike: like, in any case", "in": "in a list", "not in": "not in a list",
    ABSENT: "is null: it has none", PRESENT: "is not null: it has one",
}  # fmt: skip
ATTRIBUTES = ("status", "run_name", "run_id", "experiment_name", "start_time", "end_time")
FIELD_NAMES = [*(f"{kind}." for kind in KINDS), *(name for name in FIELDS if name not in (*KEYED, WORD))]
ENDS = ("=", "<", ">", "~", '"', "'", "`")
"""Ends of what is before the cursor, after which a suggestion begins with a space."""
MLFLOW_NAMES = ["metrics.", "params.", "tags.", "attributes.", "parameters.", *ATTRIBUTES[1:]]


@dataclass(frozen=True)
class Completion:
    """The suggestions: each may replace the characters from ``start`` to ``end``."""

    start: int
    end: int
    suggestions: list[Suggestion]


def complete(text: str, at: int, hidden: frozenset[str]) -> Completion:
    """Suggest what may be at the cursor, for a reader from whom the experiments ``hidden`` are hidden. If the only
    suggestion is typed already, it is left out.
    """
    position = locate(text, at)
    start, end = position.start, position.end
    found = _suggestions(position, hidden)
    if text[:start].endswith(ENDS):
        found = [replace(one, text=f" {one.text}") for one in found]
    room = LONGEST - (len(text) - (end - start))
    found = [one for one in found if len(one.text) < room][:MOST]
    return Completion(start, end, [] if [one.text for one in found] == [text[start:end]] else found)


def _suggestions(position: Position, hidden: frozenset[str]) -> list[Suggestion]:
    match position.part:
        case "condition":
            return _condition(position, hidden)
        case "name":
            return _name(position, hidden)
        case "operator":
            return _operator(position, hidden)
        case "value":
            return values(position, hidden, MOST)
        case "nothing":
            return []


def _condition(position: Position, hidden: frozenset[str]) -> list[Suggestion]:
    """What a condition may begin with."""
    found = [*_joiner(position), *_fields(position.typed.lower())]
    if not position.typed or position.typed.lower().startswith("is:"):
        return found
    for kind in KINDS:
        found += _names(replace(position, field=kind), hidden, MOST_OF_A_KIND)
    equal = replace(position, field="experiment", operator="=", key="")
    for one in values(equal, hidden, MOST_OF_A_KIND):
        found.append(replace(one, text=f"experiment = {one.text}", kind="experiment"))
    return found


def _joiner(position: Position) -> list[Suggestion]:
    wanted = position.joined and "and".startswith(position.typed.lower())
    return [Suggestion("and", "and", "word")] if wanted else []


def _fields(typed: str) -> list[Suggestion]:
    """Fields and flags; MLflow's other names of fields if only they begin so."""
    fields = [name for name in FIELD_NAMES if name.startswith(typed)]
    flags = [f"is:{flag}" for flag in FLAGS if f"is:{flag}".startswith(typed) or flag.startswith(typed)]
    if not fields and not flags:
        fields = [name for name in MLFLOW_NAMES if name.startswith(typed)]
    return [*(Suggestion(name, name, "field") for name in fields), *(Suggestion(flag, flag, "flag") for flag in flags)]


def _name(position: Position, hidden: frozenset[str]) -> list[Suggestion]:
    """Names after a prefix such as ``metric.``, and statistics after a metric's name."""
    typed, kind = position.typed, position.field
    if kind == "attribute":
        wanted = matching(ATTRIBUTES, typed)
        return [Suggestion(f"{position.prefix}.{name}", name, "field") for name in wanted]
    if position.key:
        return _statistics(position, position.key, typed, hidden)
    key, dot, ending = typed.rpartition(".")
    statistics = _statistics(position, key, ending, hidden) if kind == "metric" and dot and not position.mark else []
    return [*statistics, *_names(position, hidden, MOST)]


def _names(position: Position, hidden: frozenset[str], most: int) -> list[Suggestion]:
    kind = position.field
    seen = seen_names(kind, matching(names_of(kind, position.typed), position.typed), hidden, most)
    written = [(name, _written(position, Condition(kind, "", "", name))) for name in seen]
    found = [Suggestion(text, name, kind) for name, text in written if text]
    # Numbers of runs would tell of hidden runs.
    return found if hidden else counted(found, [one.label for one in found], NAMES[kind])


def _statistics(position: Position, key: str, typed: str, hidden: frozenset[str]) -> list[Suggestion]:
    """The statistics that begin so, of a metric that a run has."""
    keys = frozenset(names_of("metric", key))
    if key not in keys or not seen_names("metric", [key], hidden, 1):
        return []
    found = []
    for name in (name for name in STATISTICS if name.startswith(typed.lower())):
        whole = f"{key}.{name}"
        exact = whole in keys or bool(position.key)
        if text := _written(position, Condition("metric", "", "", key, statistic=name, exact=exact)):
            found.append(Suggestion(text, whole, "statistic"))
    return found


def _written(position: Position, condition: Condition) -> str:
    """The name with the prefix and in the quotation marks that are typed already; empty if a query can't have it."""
    key, statistic = condition.key, condition.statistic
    name = str(condition).removeprefix(f"{condition.field}.")
    if position.mark == "`" and "`" not in key:
        name = f"`{key}`.{statistic}" if statistic else f"`{key}`"
    text = f"{position.prefix or condition.field}.{name}"
    found = parsed(text)
    return text if found and (found.key, found.statistic, found.operator) == (key, statistic, "") else ""


def _operator(position: Position, hidden: frozenset[str]) -> list[Suggestion]:
    """Operators after a field, and what else may follow: a field alone is a word, or tests for presence."""
    typed = position.typed.lower()
    known = [*FIELDS[position.field].operators]
    known += [PRESENT] if ABSENT in known else []
    names = [name for name in known if name.startswith(typed) and name != typed]
    found = [Suggestion(f"{name} (" if name in AMONG else name, OPERATORS[name], "operator") for name in names]
    if not typed:
        return [*found, *(_joiner(position) if position.key else [])]
    return found if typed[0] in "=!<>~" else [*found, *_condition(position, hidden)]
