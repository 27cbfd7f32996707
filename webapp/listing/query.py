"""The query language of the list of runs: ``two tower and status = failed and metric.test_recall_at_100 > 0.05``.

``parse`` turns text into conditions that must all hold; ``str`` of a ``Query`` is a text that parses to the same query.
``conditions.py`` translates the conditions to SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from webapp.listing.fields import FIELDS, KEYED, WORD, ValueProblem

LONGEST, MOST_CONDITIONS = 2000, 20
OPERATORS = ("!=", ">=", "<=", "=", ">", "<", "~")
FLAGS = ("pinned", "archived", "all")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_BARE = r'(?:[^\s"=<>!~]|!(?!=))+'
_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<keyed>(?:{"|".join(KEYED)})\.(?:{_QUOTED}|{_BARE}))
    |(?P<quoted>{_QUOTED})
    |(?P<operator>{"|".join(OPERATORS)})
    |(?P<bare>{_BARE})
    |(?P<other>\S)
    )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_PLAIN = re.compile(r"[\w./:+-]+")
_JOINERS = ("and", "or", "not")


class QueryError(ValueError):
    """The text is not a query. ``start`` and ``end`` are the position of the invalid word."""

    def __init__(self, message: str, text: str, start: int, end: int) -> None:
        self.before, self.word, self.after = text[:start], text[start:end], text[end:]
        place = f"at “{self.word}”" if self.word.strip() else "at the end"
        super().__init__(f"{place}: {message}")


@dataclass(frozen=True)
class Condition:
    """One condition. ``field`` is a name of ``FIELDS`` or ``is``; ``key`` names the parameter, metric or tag; an empty
    operator tests whether the run has it. A value that has or needs quotation marks is ``quoted``: it is text, even if
    it looks like a number.
    """

    field: str
    operator: str
    value: str
    key: str = ""
    quoted: bool = False

    def __str__(self) -> str:
        if self.field == "is":
            return f"is:{self.value}"
        value = _quote(self.value) if self.quoted else self.value
        if self.field == WORD:
            return value
        name = f"{self.field}.{self.key if _is_plain(self.key) else _quote(self.key)}" if self.key else self.field
        return f"{name} {self.operator} {value}" if self.operator else name


@dataclass(frozen=True)
class Query:
    """Conditions that must all hold. Without any, the query finds all runs that are not archived."""

    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))

    def without(self, condition: Condition) -> Query:
        return Query(tuple(other for other in self.conditions if other != condition))

    def with_(self, condition: Condition) -> Query:
        return Query((*self.conditions, condition))

    def has_flag(self, *flags: str) -> bool:
        return any(condition.field == "is" and condition.value in flags for condition in self.conditions)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass
class _Reader:
    text: str
    tokens: list[_Token]
    place: int = 0
    found: list[Condition] = field(default_factory=list)

    def peek(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def take(self) -> _Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def take_operator(self) -> str:
        token = self.peek()
        return self.take().text if token and token.kind == "operator" else ""

    def fail(self, message: str, token: _Token | None) -> QueryError:
        end = len(self.text)
        return QueryError(message, self.text, token.start if token else end, token.end if token else end)


def parse(text: str) -> Query:
    """Parse a query. Raises QueryError if the text is not one."""
    if len(text) > LONGEST:
        raise QueryError(f"a query has at most {LONGEST:,} characters", text, LONGEST, LONGEST + 1)
    reader = _Reader(text, list(_tokens(text)))
    while reader.peek():
        _skip_and(reader)
        token = reader.peek()
        condition = _condition(reader)
        if condition not in reader.found:
            reader.found.append(condition)
        if len(reader.found) > MOST_CONDITIONS:
            raise reader.fail(f"a query has at most {MOST_CONDITIONS} conditions", token)
    return Query(tuple(reader.found))


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        token = _Token(kind, match[kind], match.start(kind), match.end(kind))
        if kind == "other":
            known = "unclosed quotation mark" if token.text == '"' else 'put it in quotation marks: "…"'
            raise QueryError(known, text, token.start, token.end)
        if "\x00" in token.text or any("\ud800" <= character <= "\udfff" for character in token.text):
            raise QueryError("invalid character", text, token.start, token.end)
        yield token


def _skip_and(reader: _Reader) -> None:
    """Skip an ``and`` between conditions, where it is optional."""
    token = reader.peek()
    if token and _is_word(token, "and"):
        reader.take()
        following = reader.peek()
        if not reader.found or following is None or _is_word(following, "and"):
            raise reader.fail("“and” must be between two conditions", token)


def _condition(reader: _Reader) -> Condition:
    token = reader.take()
    if token.kind == "operator":
        raise reader.fail("missing field before it; for example: epochs >= 50", token)
    if token.kind == "keyed":
        return _keyed(reader, token)
    operator = reader.take_operator()
    if not operator:
        return _word(reader, token)
    name = token.text.lower()
    if token.kind == "quoted" or name not in FIELDS or name in (*KEYED, WORD):
        known = ", ".join(name for name in FIELDS if name not in (*KEYED, WORD))
        advice = f"unknown field; use {known}, param.NAME, metric.NAME or tag.NAME"
        raise reader.fail(advice, token)
    return _with_value(reader, name, "", operator)


def _keyed(reader: _Reader, token: _Token) -> Condition:
    name, _, key = token.text.partition(".")
    key = _unquote(key) if key.startswith('"') else key
    if not key:
        raise reader.fail("missing name", token)
    operator = reader.take_operator()
    return _with_value(reader, name.lower(), key, operator) if operator else Condition(name.lower(), "", "", key)


def _with_value(reader: _Reader, name: str, key: str, operator: str) -> Condition:
    token = reader.peek()
    if token is None or token.kind == "operator" or _is_word(token, "and"):
        raise reader.fail(f"missing value after “{operator}”", token)
    reader.take()
    quoted = token.kind == "quoted"
    value = _unquote(token.text) if quoted else token.text
    known = FIELDS[name]
    if operator not in known.operators:
        raise reader.fail(f"{name} takes {' '.join(known.operators)}, not {operator}", token)
    try:
        known.read(operator, value, quoted)
    except ValueProblem as problem:
        raise reader.fail(str(problem), token) from None
    return Condition(name, operator, value, key, quoted or not _is_plain(value))


def _word(reader: _Reader, token: _Token) -> Condition:
    if token.kind == "quoted":
        value = _unquote(token.text)
        if not value.strip():
            raise reader.fail("empty quotation marks", token)
        return Condition(WORD, "~", value, quoted=True)
    lower = token.text.lower()
    if lower.startswith("is:"):
        if lower[3:] not in FLAGS:
            raise reader.fail(f"use {', '.join(f'is:{flag}' for flag in FLAGS)}", token)
        return Condition("is", ":", lower[3:])
    if lower in _JOINERS:
        raise reader.fail(f'only “and” joins conditions; to search for the word, use "{lower}"', token)
    return Condition(WORD, "~", token.text, quoted=not _is_plain(token.text))


def _is_word(token: _Token, word: str) -> bool:
    return token.kind == "bare" and token.text.lower() == word


def _is_plain(text: str) -> bool:
    """Whether the text needs no quotation marks anywhere in a query."""
    lower = text.lower()
    special = lower in _JOINERS or lower.startswith(("is:", *(f"{name}." for name in KEYED)))
    return bool(_PLAIN.fullmatch(text)) and not special


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
