"""Templates as they are sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.template.loader import get_template

TEMPLATES = {path.relative_to(path.parents[1]).as_posix(): path for path in Path("webapp").rglob("templates/*/*.html")}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_found_by_its_folder_and_name_and_has_no_indentation(name: str) -> None:
    template = get_template(name)
    assert Path(template.origin.name).samefile(TEMPLATES[name])  # type: ignore[attr-defined]
    sent = template.template.source  # type: ignore[attr-defined]
    assert "\n " not in sent
    assert sent.split() == TEMPLATES[name].read_text().split()


@pytest.mark.parametrize("name", TEMPLATES)
def test_text_whose_spaces_are_shown_is_in_one_line(name: str) -> None:
    shown = re.findall(r"<(pre|textarea)\b[^>]*>(.*?)</\1>", TEMPLATES[name].read_text(), re.DOTALL)
    assert not any("\n" in text for _, text in shown)
