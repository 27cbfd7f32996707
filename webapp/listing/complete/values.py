"""Values after an operator, as the texts that a query has."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from store.models import Run
from warmboard.contract.events import RunStatus
from webapp.listing.complete.position import Position
from webapp.listing.complete.suggestion import Suggestion, counted, matching, parsed
from webapp.listing.fields import AMONG, LIKE, items_of
from webapp.listing.known import NAMES, VALUES, Column, names_of, seen_names, seen_values, values_of
from webapp.listing.query import Condition, is_plain, quote
from webapp.run.words import STATUS_WORDS

STATUS = (Column(Run, "status"),)


def values(position: Position, hidden: frozenset[str], most: int) -> list[Suggestion]:
    """Values of a status, an experiment, a run's name, a parameter or a tag; none of other fields."""
    field, key, typed = position.field, position.key, position.typed
    if field == "status":
        return _statuses(position, hidden)
    if field == "experiment":
        known = matching(names_of(field, typed), typed)
        columns, seen = NAMES[field], seen_names(field, known, hidden, len(known))
    elif field in VALUES:
        known = matching(values_of(field, key, typed), typed)
        columns, seen = VALUES[field], known
        if hidden:
            seen = seen_values(field, key, list(_texts(position, known, len(known))), hidden, most)
    else:
        return []
    texts = _texts(position, seen, most)
    found = [Suggestion(text, value or "(empty)", "value") for value, text in texts.items()]
    # Numbers of runs would tell of hidden runs, but an experiment's runs are hidden together.
    return counted(found, list(texts), columns, key) if not hidden or field == "experiment" else found


def _statuses(position: Position, hidden: frozenset[str]) -> list[Suggestion]:
    upper = position.typed.isupper()
    words = {STATUS_WORDS[status].upper() if upper else STATUS_WORDS[status]: status.value for status in RunStatus}
    texts = _texts(position, matching(words, position.typed), len(words))
    found = [Suggestion(text, value, "value") for value, text in texts.items()]
    return found if hidden else counted(found, [words[value] for value in texts], STATUS)


def _texts(position: Position, known: Iterable[str], most: int) -> dict[str, str]:
    """The texts of the first values that the condition can have."""
    texts = ((value, _text(position, value)) for value in known)
    return dict(islice(((value, text) for value, text in texts if text), most))


def _text(position: Position, value: str) -> str:
    """The value in quotation marks, if it needs them or has them already; empty if the condition can't have it."""
    if position.mark == "'" and "'" not in value:
        text = f"'{value}'"
    else:
        text = quote(value) if position.mark or position.operator in LIKE or not is_plain(value) else value
    name, operator = Condition(position.field, "", "", position.key), position.operator
    found = parsed(f"{name} {operator} {f'({text})' if operator in AMONG else text}")
    if not found or (found.field, found.key, found.operator) != (position.field, position.key, operator):
        return ""
    return text if (items_of(found.value) if operator in AMONG else [found.value]) == [value] else ""
