"""The list after a first start beside an MLflow that has runs: it shows the first of them by itself."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from deploy.local.process import Process
from tests.browser.webapp import webapp
from tests.chromium import screenshots
from tests.waiting import PATIENCE_MS


def test_the_first_runs_appear_by_themselves(chromium: Browser, valkey: Process, tmp_path: Path) -> None:
    with webapp(tmp_path, 3, {"WEBAPP_LOOPBACK_READ": "true"}) as site:
        site.seeder(("Earlier", {"done": 0}, "make", {}))
        context = chromium.new_context(viewport={"width": 1400, "height": 900}, base_url=site.address)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto("/")
        expect(page.get_by_text("9 ended runs in 2 experiments of MLflow default")).to_be_visible()
        screenshots(page, "first-start")
        # Its script asks again and again: nothing has changed at first.
        with page.expect_response("**/rows/"):
            pass
        site.seeder(
            ("Sample", {"run_id": "first1", "name": "the first"}, "warm", {}), ("Earlier", {"done": 1}, "make", {})
        )
        expect(page.get_by_role("link", name="the first")).to_be_visible()
        expect(page.locator("#shown")).to_contain_text("warming earlier runs: 1 of 9")
        site.seeder(("Earlier", {"done": 5}, "make", {}))
        expect(page.locator("#shown")).to_contain_text("warming earlier runs: 5 of 9")
        assert failures == []
        context.close()
