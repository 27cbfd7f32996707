"""Parse JSON of a stranger: with a bound on the memory that its objects take. Pure; no input or output."""

from __future__ import annotations

import re
from typing import Any

import orjson

LONGEST = 32 * 2**20
"""The max length of a text that is parsed at once, in bytes. A line of the bulk route has at most 5 MB of points."""
MOST_MEMORY = 128 * 2**20
"""The max estimate of the memory that the objects of one text take, in bytes."""
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""Strings, which may hold JSON themselves. Linear: one that is not closed goes to the end."""
SIZES = {b",": 48, b"{": 240, b"[": 64}
"""The memory of a value, a dictionary and a list, in bytes, by the character that each of them needs."""


class TooLargeError(ValueError):
    """A text is longer, or has more values, than anything that is parsed at once."""


def loads(text: bytes) -> Any:
    """Parse a text. Raises TooLargeError, and JSONDecodeError as orjson does."""
    check_length(len(text))
    # Three bytes of text can be an object of 64. Only a suspicious text is looked at more closely.
    if _memory(text) > MOST_MEMORY and (memory := _memory(STRINGS.sub(b"", text))) > MOST_MEMORY:
        raise TooLargeError(f"a document of {len(text):,} bytes would take {memory:,} bytes of memory")
    return orjson.loads(text)


def _memory(text: bytes) -> int:
    return sum(text.count(character) * size for character, size in SIZES.items())


def check_length(length: int) -> None:
    """Raise TooLargeError for a text that is too long to be parsed at once."""
    if length > LONGEST:
        raise TooLargeError(f"a document is longer than {LONGEST:,} bytes")
