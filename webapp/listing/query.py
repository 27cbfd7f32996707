"""The query language of the list of runs: ``two tower and status = failed and metric.test_recall_at_100 > 0.05``.

MLflow's filters are queries too: ``metrics.loss < 0.4 AND params.opt LIKE 'ada%' AND attributes.status = 'FINISHED'``.

``parse`` turns text into conditions that must all hold; ``str`` of a ``Query`` is a text that parses to the same query.
``conditions.py`` translates the conditions to SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from webapp.listing.fields import ABSENT, AMONG, FIELDS, KEYED, LIKE, PRESENT, WORD, ValueProblem, items_of
from webapp.listing.names import ATTRIBUTES, PREFIXES, STATISTICS, Measure

LONGEST, MOST_CONDITIONS = 2000, 20
OPERATORS = ("!=", ">=", "<=", "=", ">", "<", "~")
FLAGS = ("pinned", "archived", "deleted", "all")
QUOTED = r'"(?:[^"\\]|\\.)*"'
# An apostrophe within a word, or one that is not closed, is no quotation mark.
_SINGLE = r"'[^']*'(?=[\s,).]|$)"
_TICKS = r"`[^`]+`"
_BARE = r'(?:[^\s"=<>!~]|!(?!=))+'
_NAME = rf"(?:{QUOTED}|{_SINGLE}|{_TICKS})(?:\.(?:{'|'.join(STATISTICS)})\b)?|{_BARE}"
ITEM = rf"""(?:{QUOTED}|'[^']*'|[^\s,()"'`]+)"""
TOKEN = re.compile(
    rf"""\s*(?:
    (?P<keyed>(?:{"|".join(PREFIXES)})\.(?:{_NAME}))
    |(?P<quoted>{QUOTED}|{_SINGLE})
    |(?P<among>(?:not\s+)?in\s*\(\s*{ITEM}(?:\s*,\s*{ITEM})*\s*,?\s*\))
    |(?P<absent>is\s+(?:not\s+)?null\b)
    |(?P<operator>{"|".join(OPERATORS)}|i?like(?=\s*["']))
    |(?P<bare>{_BARE})
    |(?P<other>\S)
    )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_PLAIN = re.compile(r"[\w./:+-]+")
_STATISTIC = re.compile(rf"(.*)\.({'|'.join(STATISTICS)})", re.DOTALL)
_UNNAMED = (*KEYED, WORD)
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
    it looks like a number. The value of ``in`` is its list. ``statistic`` and ``exact`` are those of ``Measure``.
    """

    field: str
    operator: str
    value: str
    key: str = ""
    quoted: bool = False
    statistic: str = ""
    exact: bool = False

    @property
    def measure(self) -> Measure:
        """The number of a metric that it compares."""
        return Measure(self.key, self.statistic, self.exact)

    def __str__(self) -> str:
        if self.field == "is":
            return f"is:{self.value}"
        value = quote(self.value) if self.quoted else self.value
        if self.field == WORD:
            return value
        if self.operator in AMONG:
            value = f"({value})"
        name = f"{self.field}.{self._name()}" if self.key else self.field
        return f"{name} {self.operator} {value}".rstrip() if self.operator else name

    def _name(self) -> str:
        ambiguous = self.field == "metric" and (self.exact or _STATISTIC.fullmatch(self.key))
        key = quote(self.key) if ambiguous or not is_plain(self.key) else self.key
        return f"{key}.{self.statistic}" if self.statistic else key


@dataclass(frozen=True)
class Query:
    """Conditions that must all hold. Without any, the query finds all runs that are neither archived nor deleted."""

    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))

    @property
    def measures(self) -> list[Measure]:
        """The numbers of metrics that its conditions compare."""
        return [condition.measure for condition in self.conditions if condition.field == "metric"]

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

    def take_operator(self) -> _Token | None:
        token = self.peek()
        return self.take() if token and token.kind in ("operator", "among", "absent") else None

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
    for match in TOKEN.finditer(text):
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
    if token.kind in ("operator", "among", "absent"):
        raise reader.fail("missing field before it; for example: epochs >= 50", token)
    if token.kind == "keyed":
        return _keyed(reader, token)
    operator = reader.take_operator()
    if not operator:
        return _word(reader, token)
    name = token.text.lower()
    name = ATTRIBUTES.get(name, name)
    if token.kind == "quoted" or name not in FIELDS or name in _UNNAMED:
        known = ", ".join(name for name in FIELDS if name not in _UNNAMED)
        advice = f"unknown field; use {known}, param.NAME, metric.NAME or tag.NAME"
        raise reader.fail(advice, token)
    return _with_value(reader, Condition(name, "", ""), operator)


def _keyed(reader: _Reader, token: _Token) -> Condition:
    prefix, _, written = token.text.partition(".")
    kind = PREFIXES[prefix.lower()]
    operator = reader.take_operator()
    if kind == "attribute":
        return _attribute(reader, token, read_key(kind, written)[0], operator)
    key, statistic, exact = read_key(kind, written)
    if not key:
        raise reader.fail("missing name", token)
    named = Condition(kind, "", "", key, statistic=statistic, exact=exact)
    return _with_value(reader, named, operator) if operator else named


def read_key(kind: str, written: str) -> tuple[str, str, bool]:
    """Parse the name after a prefix: the key, the statistic, and whether the key ends where its quotation marks end and
    this matters.
    """
    ending = _STATISTIC.fullmatch(written)
    if written[0] in "\"'`":
        inner, statistic = (ending[1], ending[2]) if ending else (written, "")
        key = unquote(inner)
        return (key, statistic, bool(statistic)) if kind == "metric" or not statistic else (written, "", False)
    if kind == "metric" and ending and ending[1]:
        return ending[1], ending[2], not is_plain(ending[1])
    return written, "", False


def _attribute(reader: _Reader, token: _Token, key: str, operator: _Token | None) -> Condition:
    """A condition on an attribute of MLflow's; without an operator, a word such as ``run.py``."""
    if not operator:
        return _word(reader, token)
    if key not in ATTRIBUTES:
        known = ", ".join(dict.fromkeys(name for name in ATTRIBUTES if " " not in name and name.islower()))
        raise reader.fail(f"unknown attribute; use {known}", token)
    return _with_value(reader, Condition(ATTRIBUTES[key], "", ""), operator)


def _with_value(reader: _Reader, named: Condition, sign: _Token) -> Condition:
    """The condition with its operator and its value."""
    operator, value, quoted, token = _comparison(reader, sign)
    known = FIELDS[named.field]
    if operator == PRESENT and ABSENT in known.operators:
        return named
    if operator not in known.operators:
        raise reader.fail(f"{named.field} takes {' '.join(known.operators)}, not {operator}", token)
    try:
        known.operand(operator, value, quoted)
    except ValueProblem as problem:
        raise reader.fail(str(problem), token) from None
    plain = operator in (*AMONG, ABSENT) or is_plain(value)
    return replace(named, operator=operator, value=value, quoted=quoted or not plain)


def _comparison(reader: _Reader, sign: _Token) -> tuple[str, str, bool, _Token]:
    """The operator, its value, whether that is quoted, and the token to blame."""
    if sign.kind == "absent":
        return " ".join(sign.text.lower().split()), "", False, sign
    if sign.kind == "among":
        head, _, items = sign.text.partition("(")
        return " ".join(head.lower().split()), ", ".join(map(quote, items_of(items[:-1]))), False, sign
    operator = sign.text.lower()
    token = reader.peek()
    if token is None or token.kind in ("operator", "among", "absent") or _is_word(token, "and"):
        raise reader.fail(f"missing value after “{sign.text}”", token)
    reader.take()
    quoted = token.kind == "quoted"
    return operator, unquote(token.text) if quoted else token.text, quoted or operator in LIKE, token


def _word(reader: _Reader, token: _Token) -> Condition:
    if token.kind == "quoted":
        value = unquote(token.text)
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
    return Condition(WORD, "~", token.text, quoted=not is_plain(token.text))


def _is_word(token: _Token, word: str) -> bool:
    return token.kind == "bare" and token.text.lower() == word


def is_plain(text: str) -> bool:
    """Whether the text needs no quotation marks anywhere in a query."""
    lower = text.lower()
    special = lower in _JOINERS or lower.startswith(("is:", *(f"{name}." for name in PREFIXES)))
    return bool(_PLAIN.fullmatch(text)) and not special


def quote(text: str) -> str:
    """The text in double quotation marks."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """The text within quotation marks. Only double ones have escapes."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if text[0] == '"' else text[1:-1]
