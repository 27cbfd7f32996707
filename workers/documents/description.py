"""Turn a run's description, which is Markdown by anyone, into HTML that is safe to insert into a page.

It is cleaned here and nowhere else: the store's entries are as trusted as the program that serves them, and a stricter
rule comes with a new schema version, which rebuilds every entry. The page's content security policy allows no inline
script and no image of another host, even if something came through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

LONGEST = 20_000
"""In characters. MLflow's own limit is 8,000. A longer description is shown as text."""
DEEPEST = 24
"""The max depth of nested elements; a list in a list is two deeper. A deeper description is shown as text."""
PARSED = 60
"""The depth at which the parser drops content, which must be more than DEEPEST."""
TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
# Without "*", some attributes would be allowed everywhere.
ATTRIBUTES: dict[str, set[str]] = {"*": set(), "a": {"href"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)
_FIRST_HEADING = 3
"""The page's own headings are above."""


@lru_cache(maxsize=64)
def rendered(text: str) -> str:
    """The description as HTML. Empty if it is too long, too deep, or has nothing that HTML would show.

    Cached, because a run in progress is warmed often.
    """
    if len(text) > LONGEST:
        return ""
    tokens = _parser().parse(text)
    if _depth(tokens) > DEEPEST:
        return ""
    _settle_headings(tokens)
    html: str = _parser().renderer.render(tokens, _parser().options, {})
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_only_links,
        url_schemes=SCHEMES,
        link_rel="noopener nofollow noreferrer",
        strip_comments=True,
    ).strip()


class _Parser(MarkdownIt):
    """CommonMark with tables and strikethrough. HTML is text, and so is a link to anything but SCHEMES."""

    def __init__(self) -> None:
        super().__init__("js-default", {"html": False, "linkify": False, "maxNesting": PARSED})
        self.add_render_rule("image", _image)

    def validateLink(self, url: str) -> bool:
        return _is_link(url)


@cache
def _parser() -> MarkdownIt:
    return _Parser()


def _is_link(address: str) -> bool:
    return bool(_LINK.fullmatch(address))


def _only_links(_: str, name: str, value: str) -> str | None:
    return value if name != "href" or _is_link(value) else None


def _image(renderer: Any, tokens: Sequence[Token], position: int, options: Any, env: Any) -> str:
    """The image's alternative text: pages load nothing from other hosts."""
    return escape(tokens[position].content, quote=False)


def _depth(tokens: Sequence[Token]) -> int:
    return max((token.level + _depth(token.children or ()) for token in tokens), default=0)


def _settle_headings(tokens: Sequence[Token]) -> None:
    """Give headings the levels below those of the page, without gaps."""
    headings = [token for token in tokens if token.type in ("heading_open", "heading_close")]
    levels = sorted({token.tag for token in headings})
    for token in headings:
        token.tag = f"h{min(_FIRST_HEADING + levels.index(token.tag), 6)}"
