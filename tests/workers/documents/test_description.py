"""Descriptions are Markdown by anyone: what is shown is plain, and nothing of it runs or loads."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import PATIENCE
from workers.documents.description import ATTRIBUTES, DEEPEST, LONGEST, TAGS, rendered

PARTS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![i](https://e.example/i)",
    "<a href='data:text/html,x'>", "[b](https://e.example \"t\")", "`", "```", "# ", "\n\n", "- ", "> ",
    "| a | b |\n|--|--|\n", "&lt;", "&#x3c;script&#x3e;", "[c]: javascript:alert(1)\n", "[c]",
    "<https://e.example>", "**", "_", "\\", "\0", "\u202e",
]  # fmt: skip


def test_markdown_is_shown() -> None:
    text = "# Title\n\n**bold** _soft_ ~~gone~~ `code`\n\n1. one\n2. two\n\n"
    html = rendered(text + "| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\n> said")
    for part in (
        "<h3>Title</h3>", "<strong>bold</strong>", "<em>soft</em>", "<s>gone</s>", "<code>code</code>", "<ol>",
        "<li>one</li>", "<td>1</td>", "<hr>", "<blockquote>",
    ):  # fmt: skip
        assert part in html
    assert rendered("") == rendered("  \n") == ""


def test_headings_are_below_those_of_the_page_without_gaps() -> None:
    assert re.findall(r"<h\d>", rendered("### a\n\n# b\n\n###### c")) == ["<h4>", "<h3>", "<h5>"]


@pytest.mark.parametrize("address", ["https://e.example/a?b=c&d", "http://e.example", "mailto:ada@e.example"])
def test_links_lead_out_without_telling_where_from(address: str) -> None:
    html = rendered(f"[text]({address})")
    assert html.startswith('<p><a href="')
    assert 'rel="noopener nofollow noreferrer"' in html
    assert address.replace("&", "&amp;") in html


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "java&#10;script:alert(1)", "data:text/html,x", "vbscript:x",
     "/operations/replay/", "//e.example", "file:///etc/passwd", "blob:x", "?q=1", "#top", "&#106;avascript:alert(1)"],
)  # fmt: skip
def test_other_links_are_text(address: str) -> None:
    for text in (f"[text]({address})", f"[text][1]\n\n[1]: {address}", f"<{address}>"):
        assert "<a" not in rendered(text)
        assert "href" not in re.sub(r"&lt;.*?&gt;", "", rendered(text))


def test_html_is_text() -> None:
    html = rendered(
        "<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n<b style='color:red'>b</b> <!-- c -->"
    )
    assert re.findall(r"<(\w+)", html) == ["p", "p", "p"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_images_are_their_alternative_text() -> None:
    html = rendered(
        "![a <b> chart](https://e.example/i.png) and [![badge](https://e.example/b.svg)](https://e.example)"
    )
    assert "<img" not in html
    assert "i.png" not in html
    assert "a &lt;b&gt; chart and <a" in html
    assert ">badge</a>" in html


NESTED = {
    "lists": "".join(f"{'  ' * depth}- x\n" for depth in range(400)),
    "one line of lists": "- " * 5_000,
    "quotes": "> " * 5_000,
    "emphasis": "*a **b " * 1_000 + "c** d*" * 1_000,
    "brackets": "[" * 5_000 + "]" * 5_000,
    "links": "[a](" * 3_000,
    "images": "![" * 5_000,
    "ticks": "".join("`" * count + " " for count in range(1, 190)),
    "stars": "*" * 15_000,
    "underscores": "_a " * 6_000,
    "tables": "|a" * 1_000 + "\n" + "|-" * 1_000 + "\n" + ("|b" * 1_000 + "\n") * 7,
    "references": "".join(f"[{number}]: https://e.example\n" for number in range(700)),
    "entities": "&amp;" * 3_900,
    "angles": "<" * 15_000,
    "autolinks": "<https://e.example" * 1_000,
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED.keys())
def test_the_worst_descriptions_are_soon_done_and_shallow(text: str) -> None:
    begin = time.monotonic()
    html = rendered(text[:LONGEST])
    assert time.monotonic() - begin < PATIENCE / 10
    assert _depth(html) <= DEEPEST + 2
    assert len(html) < 20 * LONGEST


def test_what_is_too_deep_or_too_long_is_shown_as_text() -> None:
    assert rendered("- " * 8 + "x").count("<li>") == 8
    assert rendered("- " * 50 + "x") == ""
    assert rendered(NESTED["lists"]) == ""
    assert rendered("x" * (LONGEST + 1)) == ""


@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=12).map("".join))
def test_only_plain_elements_remain(text: str) -> None:
    for tag, attributes in re.findall(r"<(\w+)([^>]*)>", rendered(text)):
        assert tag in TAGS
        allowed = ATTRIBUTES.get(tag, set()) | ({"rel"} if tag == "a" else set())
        names = set(re.findall(r'([\w-]+)="[^"]*"', attributes))
        assert names <= allowed
        for address in re.findall(r'href="([^"]*)"', attributes):
            assert re.match(r"https?://|mailto:", address, re.IGNORECASE)


def _depth(html: str) -> int:
    """The max depth of nested elements."""
    depth = deepest = 0
    for closing, tag in re.findall(r"<(/?)(\w+)", html):
        if tag not in ("br", "hr"):
            depth += -1 if closing else 1
            deepest = max(deepest, depth)
    return deepest
