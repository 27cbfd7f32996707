"""Text as a database stores it: PostgreSQL takes no NUL, and no half of a character."""

from __future__ import annotations

LONGEST_REASON = 2000
"""In bytes."""


def cut(reason: str) -> str:
    """The reason, printable, in at most 2 kB."""
    return printable(reason).encode()[:LONGEST_REASON].decode(errors="ignore")


def printable(text: str) -> str:
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
