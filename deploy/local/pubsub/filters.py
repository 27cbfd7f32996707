"""The filter language of subscriptions: https://cloud.google.com/pubsub/docs/subscription-message-filter.

    attributes:k    attributes.k = "v"    attributes.k != "v"    hasPrefix(attributes.k, "p")

joined by NOT (or `-`), AND, OR and parentheses. As in the service, AND and OR may meet only across parentheses. A key
with other characters than letters, digits, `_` and `-` is quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

Filter = Callable[[Mapping[str, str]], bool]

_MAX_BYTES = 256
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|!=|[=:.,()]|-(?=\s*(?:attributes|hasPrefix|\())|[\w-]+)')


class FilterError(ValueError):
    """The filter does not follow the grammar; the message says where."""


@lru_cache(maxsize=1024)
def parse(text: str) -> Filter:
    """Turn a filter into a predicate over a message's attributes. An empty filter passes everything.

    Raises FilterError for anything outside the grammar and for more than 256 bytes.
    """
    if not text.strip():
        return lambda attributes: True
    if len(text.encode()) > _MAX_BYTES:
        raise FilterError(f"a filter has at most {_MAX_BYTES} bytes")
    return _Parser(text).parse()


class _Parser:
    """Recursive descent; one method per rule, each returning a predicate."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise FilterError(f"unexpected {text[position:].strip()[:20]!r}")
            self.tokens.append(match[1])
            position = match.end()

    def parse(self) -> Filter:
        result = self.expression()
        if self.tokens:
            raise FilterError(f"unexpected {self.tokens[0]!r}")
        return result

    def take(self, *wanted: str) -> str:
        token = self.tokens.pop(0) if self.tokens else "end of filter"
        if wanted and token not in wanted:
            raise FilterError(f"expected {' or '.join(wanted)}, found {token!r}")
        return token

    def expression(self) -> Filter:
        terms = [self.term()]
        operator = self.tokens[0] if self.tokens else ""
        while self.tokens and self.tokens[0] in ("AND", "OR"):
            self.take(operator)  # A change from AND to OR, or back, needs parentheses.
            terms.append(self.term())
        if operator == "OR":
            return lambda attributes: any(term(attributes) for term in terms)
        return lambda attributes: all(term(attributes) for term in terms)

    def term(self) -> Filter:
        start = self.take("NOT", "-", "(", "hasPrefix", "attributes")
        if start in ("NOT", "-"):
            negated = self.term()
            return lambda attributes: not negated(attributes)
        if start == "(":
            inner = self.expression()
            self.take(")")
            return inner
        if start == "hasPrefix":
            for token in ("(", "attributes", "."):
                self.take(token)
            key = self.key()
            self.take(",")
            value = self.string()
            self.take(")")
            return lambda attributes: attributes.get(key, "").startswith(value) and key in attributes
        if self.take(":", ".") == ":":
            key = self.key()
            return lambda attributes: key in attributes
        key, equal, value = self.key(), self.take("=", "!=") == "=", self.string()
        return lambda attributes: (attributes.get(key) == value) is equal

    def key(self) -> str:
        if self.tokens and re.fullmatch(r"[\w-]+", self.tokens[0]):
            return self.take()
        return self.string()

    def string(self) -> str:
        token = self.take()
        if not token.startswith('"'):
            raise FilterError(f"expected a quoted string, found {token!r}")
        try:
            return str(json.loads(token))
        except json.JSONDecodeError as error:
            raise FilterError(f"bad string {token}: {error.msg}") from None
