"""The trained run in a real browser: its charts are drawn, and their tables have the values of the JSON."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.chromium import cells, chart, is_drawn, screenshot
from tests.integration.conftest import EPOCHS, Running

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (1400, "dark"), (360, "light"), (360, "dark")])
def test_the_trained_run_is_drawn(
    running: Running, trained: dict[str, Any], chromium: Browser, width: int, theme: Any
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(trained["urls"]["run"])
    for title in ("Loss", "Weight norms", "Gradient norms"):
        assert is_drawn(chart(page, title).locator("canvas").first), title
    assert is_drawn(page.locator("#distributions canvas").first)
    screenshot(page, f"trained-run-{width}-{theme}")
    box = chart(page, "Loss")
    box.get_by_text("Data table").click()
    expect(box.locator("tbody tr")).to_have_count(EPOCHS)
    loss = running.get(f"/api/runs/{trained['run_id']}/training-history/?resolution=full")["loss"]
    assert [[float(cell) for cell in row[1:3]] for row in cells(box)] == [
        list(pair) for pair in zip(loss["train"], loss["val"], strict=True)
    ]
    assert complaints == []
    context.close()
