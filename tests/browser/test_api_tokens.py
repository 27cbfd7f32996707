"""Tokens: their page in a browser, and programs that use the API, on the real webapp."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.chromium import screenshots
from tests.paths import ROOT
from tests.waiting import PATIENCE

Look = Callable[..., Page]
ELSEWHERE = {"X-Forwarded-For": "192.0.2.1"}
"""Requests through a proxy are not from loopback, so they need a user or a token."""


def read(site: Site, token: str) -> int:
    address = f"{site.address}/api/runs/abc123def456/training-history/"
    return requests.get(address, headers={"Authorization": f"Bearer {token}"} | ELSEWHERE, timeout=PATIENCE).status_code


def sign_in(page: Page) -> None:
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()


def test_a_token_from_its_making_to_its_end(look: Look, site: Site) -> None:
    page = look("/tokens/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page)
    page.get_by_label("Name").fill("my notebook")
    page.get_by_label("Expires in").select_option("30 days")
    page.get_by_role("button", name="Create token").click()
    shown = page.locator("#fresh").inner_text()
    page.get_by_role("button", name="Copy the token").click()
    expect(page.get_by_role("button", name="Copy the token")).to_have_text("copied")
    token = page.evaluate("navigator.clipboard.readText()")
    assert token == shown.strip()
    assert re.fullmatch(r"wb_[\w-]{43}", token)
    # Twice: the second read skips the look-up of the token.
    assert [read(site, token), read(site, token)] == [200, 200]
    page.goto("/tokens/")
    row = page.get_by_role("row", name=re.compile("my notebook"))
    expect(row).not_to_contain_text("never")
    assert token not in page.content()
    row.get_by_role("button", name="Revoke my notebook").click()
    expect(row).to_have_count(0)
    # It ends at once in the process that revoked it, within a second in the other.
    page.wait_for_timeout(1100)
    assert [read(site, token) for _ in range(8)] == [401] * 8
    assert token not in site.process.log.read_text()


@pytest.mark.parametrize("width", [1400, 360])
def test_the_pages_fit_and_hold(look: Look, site: Site, width: int) -> None:
    page = look("/tokens/", width=width)
    sign_in(page)
    page.get_by_label("Name").fill("nightly report, as run by the scheduler")
    page.get_by_role("button", name="Create token").click()
    for name, address in (("tokens", None), ("api", "/api/docs/")):
        if address:
            page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        screenshots(page, f"{name}-{width}")
    page.goto("/tokens/")
    page.get_by_role("button", name=re.compile("^Revoke nightly")).first.click()


def test_the_reference_leads_to_what_it_names(look: Look, site: Site) -> None:
    page = look("/api/docs/")
    page.get_by_role("navigation", name="Operations").get_by_role("link", name="Histograms by epoch").first.click()
    expect(page.locator("article:target")).to_be_in_viewport()
    page.locator("article:target").locator("summary", has_text="Answers").click()
    page.locator("article:target").get_by_role("link", name="Histogram", exact=True).click()
    expect(page.locator("#shape-Histogram")).to_contain_text("bin_edges_by_epoch")


def test_the_client_of_the_documents_works(site: Site, token: str, tmp_path: Path) -> None:
    site.seed("announce", {"state": "failed"}, run_id="never-warm")
    client, example = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/python-client.md").read_text(), re.DOTALL)
    (tmp_path / "warmboard_client.py").write_text(client)
    (tmp_path / "example.py").write_text(example)
    environ = os.environ | {"WARMBOARD_URL": site.address, "WARMBOARD_TOKEN": token}
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "never-warm failed None" in done.stdout
    assert re.search(r"abc123def456 warm 0\.3652\n  best epoch \d+ of 20", done.stdout)
    assert (tmp_path / "abc123def456.csv").read_text("utf-8-sig").startswith("step,time,loss,val_loss")
    cold = "from warmboard_client import Warmboard; Warmboard().export('never-warm', 'x.csv')"
    refused = subprocess.run(
        [sys.executable, "-c", cold], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=PATIENCE
    )
    assert "never-warm is not warm: Warming failed" in refused.stderr
