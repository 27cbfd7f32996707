"""The controls around the table, which lead to other views of the list: plain links and forms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from warmboard.contract.events import RunStatus
from webapp.listing.columns import SORTED, Column, Key, named
from webapp.listing.query import Condition, Query
from webapp.listing.rows import Link
from webapp.listing.sorting import Sort
from webapp.listing.view import GROUPS, LIMITS, View
from webapp.run.words import STATUS_WORDS

ALL_RUNS = "./"
SELECTED = SafeString(""), SafeString(" selected")
CHECKED = SafeString(""), SafeString(" checked")
"""By whether it is."""


@dataclass(frozen=True)
class Head:
    """The head of a column. ``address`` is empty where the list can't be sorted by it."""

    column: Column
    address: str
    direction: str


def toolbar(view: View, columns: Sequence[Column], offered: Sequence[Key], text: str) -> dict[str, Any]:
    """Template variables of the controls. ``text`` is the text of the search field."""
    chosen = {column.key for column in columns if column.key}
    groups = [*GROUPS, *map(str, offered)]
    return {
        "text": text,
        "view": view,
        "chips": [Link(str(condition), _to(view.without(condition))) for condition in view.query.conditions],
        "without_query": _to(view.but(query=Query())),
        "without_group": _to(view.but(group="")),
        "archived_too": _to(view.with_(Condition("is", ":", "all"))),
        "archived_shown": view.query.has_flag("archived", "all"),
        "statuses": _statuses(view),
        "heads": [_head(view, column) for column in columns],
        "sorts": _options(_sorts(view, [*SORTED, *map(str, offered)])),
        "groups_offered": _options(
            (group, _bare(group), group == view.group) for group in _with(groups, view.group) if group
        ),
        "limits": _options((str(limit), str(limit), limit == view.limit) for limit in sorted({*LIMITS, view.limit})),
        "offered": _boxes((str(key), key, key in chosen) for key in offered),
        "kept": _kept(view),
    }


# A run has hundreds of keys, and a template takes ten times as long for so many elements.
def _options(choices: Iterable[tuple[str, str, bool]]) -> SafeString:
    """The options of a menu: of each its value, its text, and whether it is selected."""
    option = '<option value="{}"{}>{}</option>\n'
    return format_html_join("", option, ((value, SELECTED[chosen], text) for value, text, chosen in choices))


def _boxes(choices: Iterable[tuple[str, Key, bool]]) -> SafeString:
    """The checkboxes of the columns: of each its value, its key, and whether it is checked."""
    box = """<label title="{}"><input type="checkbox" name="columns" value="{}"{}> \
<span>{}</span> <small class="muted">{}</small></label>\n"""
    boxes = ((value, value, CHECKED[chosen], key.key, key.kind) for value, key, chosen in choices)
    return format_html_join("", box, boxes)


def _kept(view: View) -> dict[str, str]:
    """The hidden fields of the columns' form."""
    parts = {"q": str(view.query), "group": view.group, "limit": str(view.limit), "sort": str(view.sort)}
    return {name: value for name, value in parts.items() if value}


def _statuses(view: View) -> list[Link]:
    """Links that select a status; the link of the selected one clears it."""
    links = []
    others = Query(tuple(condition for condition in view.query.conditions if condition.field != "status"))
    for status in RunStatus:
        condition = Condition("status", "=", STATUS_WORDS[status])
        on = any(
            (known.field, known.operator, known.value.upper()) == ("status", "=", status)
            for known in view.query.conditions
        )
        links.append(Link(STATUS_WORDS[status], _to(view.but(query=others if on else others.with_(condition))), on))
    return links


def _head(view: View, column: Column) -> Head:
    """A column's head. Where the list can be sorted by it, a link to that order, or to the opposite of the current."""
    now = view.sort.name == column.name
    sort = view.sort.reversed if now else _first_order(column.name)
    direction = ("descending" if view.sort.descending else "ascending") if now else ""
    return Head(column, _to(view.but(sort=sort)) if column.sorts else "", direction)


def _first_order(name: str) -> Sort:
    """The order that readers look for first: the best, the newest, or from A to Z."""
    return Sort(name, named(name).descending_first)


def _sorts(view: View, names: Sequence[str]) -> list[tuple[str, str, bool]]:
    firsts = map(_first_order, _with(names, view.sort.name))
    return [(str(sort), _label(sort), sort == view.sort) for first in firsts for sort in (first, first.reversed)]


def _label(sort: Sort) -> str:
    if sort.name == "started":
        return "newest first" if sort.descending else "oldest first"
    if sort == Sort():
        return "last activity"
    if sort == Sort().reversed:
        return "longest without activity"
    return f"{_bare(sort.name)} {'↓' if sort.descending else '↑'}"


def _bare(name: str) -> str:
    return name.partition(".")[2] or name


def _with(names: Sequence[str], name: str) -> list[str]:
    return list(dict.fromkeys([*names, name]))


def _to(view: View) -> str:
    return view.address or ALL_RUNS
