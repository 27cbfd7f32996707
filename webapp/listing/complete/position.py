"""What may be written at the cursor of a query, and what of it is typed already."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from webapp.listing.fields import FIELDS, KEYED, LIKE, WORD
from webapp.listing.names import ATTRIBUTES, PREFIXES
from webapp.listing.query import ITEM, QUOTED, TOKEN, QueryError, parse, read_key, unquote

Part = Literal["condition", "name", "operator", "value", "nothing"]
_PREFIX = "|".join(PREFIXES)
_KEYED = re.compile(rf"(?P<prefix>{_PREFIX})\.(?P<name>.*)", re.DOTALL | re.IGNORECASE)
# Quotation marks that are open at the cursor. Outside of names, a backtick is a letter.
_INNER = r""""(?P<double>(?:[^"\\]|\\.)*)\\?|'(?P<single>[^']*)"""
_FLAGS = re.VERBOSE | re.DOTALL | re.IGNORECASE
_OPEN = re.compile(rf"\s*(?P<whole>(?:(?P<prefix>{_PREFIX})\.(?:{_INNER}|`(?P<ticks>[^`]*))))\Z", _FLAGS)
_OPEN_TEXT = re.compile(rf"\s*(?P<whole>{_INNER})\Z", _FLAGS)
# A metric's name in quotation marks, with the beginning of a statistic.
_ENDING = re.compile(
    rf"\s*(?P<whole>(?P<prefix>metrics?)\.(?P<name>{QUOTED}|'[^']*'|`[^`]+`)\.(?P<ending>\w*))\Z", _FLAGS
)
_IN = r"\s*(?P<operator>(?:not\s+)?in)\s*\("
_LIST = re.compile(rf"""{_IN}(?:\s*{ITEM}\s*,)*\s*(?P<whole>{_INNER}|(?P<bare>[^\s,()"'`]*))\Z""", _FLAGS)
_AFTER_ITEM = re.compile(rf"""{_IN}(?:\s*{ITEM}\s*,)*\s*{ITEM}\s+\Z""", _FLAGS)
# What follows the cursor and belongs to the word or text at it.
_REST = {
    "": re.compile(r'[^\s"=<>!~]*'),
    '"': re.compile(r'(?:[^"\\]|\\.)*"(?:\.\w+)?', re.DOTALL),
    "'": re.compile(r"[^']*'(?:\.\w+)?"),
    "`": re.compile(r"[^`]*`(?:\.\w+)?"),
}
_REST_OF_ITEM = re.compile(r"""[^\s,()"'`]*""")


@dataclass(frozen=True)
class Position:
    """What may be written instead of the characters from ``start`` to ``end``.

    ``typed`` is what is there before the cursor, without ``prefix`` (``metrics`` of ``metrics.lo``) and without the
    open quotation mark ``mark``. ``field`` and ``key`` are those of the condition that it belongs to. A name with a
    ``key`` is a metric in quotation marks whose statistic is being typed. ``joined``: a condition precedes, so ``and``
    may follow.
    """

    part: Part
    start: int
    end: int
    typed: str = ""
    mark: str = ""
    prefix: str = ""
    field: str = ""
    key: str = ""
    operator: str = ""
    joined: bool = False


@dataclass(frozen=True)
class _Before:
    """What the words before the cursor leave open: a field without its operator, or an operator without its value."""

    field: str = ""
    key: str = ""
    operator: str = ""
    joined: bool = False

    def after(self, kind: str, text: str) -> _Before:
        word = text.lower()
        if self.operator:  # this is its value
            return _Before(joined=True)
        if kind == "operator" or (word in LIKE and self.takes(word)):
            return replace(self, operator=word)
        if kind in ("among", "absent"):
            return _Before(joined=True)
        if kind == "bare" and word == "and":
            return _Before()
        field, key = _field_of(kind, text)
        return _Before(field, key, joined=True)

    def takes(self, operator: str) -> bool:
        return bool(self.field) and operator in FIELDS[self.field].operators

    def at(self, part: Part, start: int, end: int, typed: str = "", mark: str = "") -> Position:
        return Position(
            part, start, end, typed, mark, field=self.field, key=self.key, operator=self.operator, joined=self.joined
        )


def locate(text: str, at: int) -> Position:
    """The position of the cursor, which is before the character ``at``."""
    head, place, before = text[:at], 0, _Before()
    while place < at:
        if found := _within(text, head, place, before):
            return found
        match = TOKEN.match(head, place)
        if not match:  # only white space is left
            break
        kind = match.lastgroup or ""
        if match.end() == at:
            return _word(text, match.start(kind), at, kind, before)
        before, place = before.after(kind, match[kind]), match.end()
    return before.at(_next(before), at, at)


def _next(before: _Before) -> Part:
    return "value" if before.operator else "operator" if before.field else "condition"


def _within(text: str, head: str, place: int, before: _Before) -> Position | None:
    """The position in a text whose quotation mark is open, in a list, or after a name in quotation marks."""
    at = len(head)
    if before.field and not before.operator:
        if match := _LIST.match(head, place):
            mark, typed = _inner(match)
            end = _end(text, at, mark) if mark else _run(_REST_OF_ITEM, text, at)
            operator = " ".join(match["operator"].lower().split())
            found = before.at("value", match.start("whole"), end, typed or match["bare"] or "", mark)
            return replace(found, operator=operator)
        if _AFTER_ITEM.match(head, place):
            return before.at("nothing", at, at)
    match = _OPEN_TEXT.match(head, place)
    if match and (before.operator or match["double"] is not None):  # elsewhere an apostrophe may be part of a word
        mark, typed = _inner(match)
        part: Part = "value" if before.operator else "nothing"
        return before.at(part, match.start("whole"), _end(text, at, mark), typed, mark)
    if match := _OPEN.match(head, place):
        mark, typed = _inner(match)
        return _name(match["prefix"], typed, match.start("whole"), _end(text, at, mark), before, mark)
    if match := _ENDING.match(head, place):
        found = _name(
            match["prefix"], match["ending"], match.start("whole"), _end(text, at, ""), before, match["name"][0]
        )
        return replace(found, key=unquote(match["name"]))
    return None


def _inner(match: re.Match[str]) -> tuple[str, str]:
    """The quotation mark that is open, and the text after it."""
    groups = match.groupdict()
    if (double := groups.get("double")) is not None:
        return '"', re.sub(r"\\(.)", r"\1", double, flags=re.DOTALL)
    if (single := groups.get("single")) is not None:
        return "'", single
    return ("`", groups["ticks"]) if groups.get("ticks") is not None else ("", "")


def _end(text: str, at: int, mark: str) -> int:
    """The end of the word or text at the cursor. If the query is invalid, it is unknown which quotation mark closes the
    text: only one right after the cursor does.
    """
    if not mark or text[at : at + 1] == mark:
        return _run(_REST[mark], text, at)
    try:
        parse(text)
    except QueryError:
        return at
    return _run(_REST[mark], text, at)


def _run(rest: re.Pattern[str], text: str, at: int) -> int:
    match = rest.match(text, at)
    return match.end() if match else at


def _word(text: str, start: int, at: int, kind: str, before: _Before) -> Position:
    """The position at the end of a word or an operator."""
    typed = text[start:at]
    if kind == "operator" and before.field and not before.operator:
        longer = [known for known in FIELDS[before.field].operators if known.startswith(typed) and known != typed]
        return before.at("operator", start, at, typed) if longer else before.after(kind, typed).at("value", at, at)
    if kind not in ("bare", "keyed"):
        return before.at("nothing", at, at)
    end = _end(text, at, "")
    if before.operator:
        return before.at("value", start, end, typed)
    if match := _KEYED.fullmatch(typed):
        return _name(match["prefix"], match["name"], start, end, before)
    return before.at("operator" if before.field else "condition", start, end, typed)


def _name(prefix: str, typed: str, start: int, end: int, before: _Before, mark: str = "") -> Position:
    """The position in a name after its prefix."""
    kind = PREFIXES[prefix.lower()]
    if before.operator:
        return before.at("nothing", end, end)
    return Position("name", start, end, typed, mark, prefix, kind, joined=before.joined)


def _field_of(kind: str, text: str) -> tuple[str, str]:
    """The field and the key that a word names; empty if it is only a word."""
    if kind == "keyed":
        prefix, _, written = text.partition(".")
        known = PREFIXES[prefix.lower()]
        key = read_key(known, written)[0]
        return (ATTRIBUTES.get(key, ""), "") if known == "attribute" else (known, key)
    name = ATTRIBUTES.get(text.lower(), text.lower())
    return (name, "") if kind == "bare" and name in FIELDS and name not in (*KEYED, WORD) else ("", "")
