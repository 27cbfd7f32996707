"""Replays from the operations page, as people use it: every part is real, and some are down."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.integration.conftest import Running
from tests.integration.test_failures import run_id  # noqa: F401  a fixture
from tests.waiting import PATIENCE, wait
from warmboard.contract.replay import REPLAY_REQUESTED

pytestmark = pytest.mark.integration
PASSWORD = "correct horse battery"  # noqa: S105 - of this test's users
SignIn = Callable[..., Page]


@pytest.fixture
def sign_in(running: Running, chromium: Browser) -> Iterator[SignIn]:
    """Sign in with a browser as a member of a group, and open a path."""
    context = chromium.new_context(base_url=running.stack.urls["web"])

    def open_page(group: str, path: str) -> Page:
        # Created with the documented command.
        command = [sys.executable, "-m", "webapp", "manage", "account", group, f"--group={group}", "--password"]
        environ = running.stack.environ
        subprocess.run(command, env=environ, input=f"{PASSWORD}\n", text=True, check=True, timeout=PATIENCE)
        page = context.new_page()
        page.goto(f"/sign-in/?next={path}")
        page.get_by_label("Name").fill(group)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        return page

    yield open_page
    context.close()


def tables(running: Running) -> sqlite3.Connection:
    return sqlite3.connect(running.stack.data / "warmboard.sqlite3", timeout=PATIENCE)


@pytest.fixture
def failed(running: Running, run_id: str) -> str:  # noqa: F811
    """A run whose event is parked as failed; its metrics are in MLflow."""
    running.complete(run_id)
    running.wait_state(run_id, "warm")
    with tables(running) as store:
        store.execute("delete from store_warmentry where run_id = ?", [run_id])
        forgotten = "schema_version = null, warmed_at = null, fetched_at = null"
        store.execute(f"update store_run set {forgotten} where run_id = ?", [run_id])  # noqa: S608
        outcome = "state = 'failed', reason = 'MLflow was down for too long', done_at = null"
        store.execute(f"update store_inboxevent set {outcome} where run_id = ?", [run_id])  # noqa: S608
    running.wait_state(run_id, "failed")
    return run_id


def requests(running: Running) -> list[tuple[str, str]]:
    """State and reason of every replay request in the inbox."""
    with tables(running) as store:
        rows = store.execute(
            "select state, reason from store_inboxevent where type = ? order by id", [REPLAY_REQUESTED]
        )
        return rows.fetchall()


def settled(running: Running, how_many: int) -> list[tuple[str, str]]:
    def done() -> list[tuple[str, str]] | None:
        found = requests(running)
        return found if len(found) == how_many and all(state == "done" for state, _ in found) else None

    found: list[tuple[str, str]] = wait(done, f"{how_many} requests to be done", lambda: requests(running))
    return found


def test_an_operator_replays_a_failed_run_and_sees_it_warm(running: Running, failed: str, sign_in: SignIn) -> None:
    before = len(requests(running))
    page = sign_in("operator", f"/operations/?q={failed}")
    event = page.locator(".event")
    expect(event).to_contain_text("MLflow was down for too long")
    event.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("heading", name="Replay 1 run?")).to_be_visible()
    # Like a person who is not sure whether it worked, and clicks again.
    page.get_by_role("button", name="Replay 1 run").dblclick()
    # The page updates itself.
    expect(page.get_by_label("Your request")).to_contain_text("queued 1 run")
    expect(page.get_by_label("Your request")).to_contain_text("requested by operator")
    assert settled(running, before + 1)[-1] == ("done", "queued 1 run")
    running.wait_state(failed, "warm")
    page.goto(f"/runs/{failed}/")
    expect(page.locator("figure.chart").first).to_be_visible()


def test_a_form_that_is_sent_twice_is_one_replay(running: Running, failed: str, sign_in: SignIn) -> None:
    before = len(requests(running))
    page = sign_in("operator", f"/operations/replay/?run_id={failed}")
    form = page.locator("form.confirm")
    fields = dict(form.evaluate("form => [...new FormData(form)]"))
    answers = [page.request.post("/operations/replay/", form=fields, headers={"Referer": page.url}) for _ in range(3)]
    assert len({answer.url for answer in answers}) == 1, "all lead to the same replay"
    running.wait_state(failed, "warm")
    assert len(settled(running, before + 1)) == before + 1
    wait(lambda: f"run {failed} warm:" in running.process("worker").log.read_text(), "the worker to say so")


def test_a_viewer_is_refused(running: Running, failed: str, sign_in: SignIn) -> None:
    page = sign_in("viewer", f"/operations/?q={failed}")
    expect(page.get_by_role("heading", name="This needs the group operator.")).to_be_visible()
    expect(page.get_by_role("link", name="Operations")).to_have_count(0)
    refused = page.goto(f"/operations/replay/?run_id={failed}")
    assert refused
    assert refused.status == 403
    expect(page.get_by_role("heading", name="This needs the group operator.")).to_be_visible()
    assert running.summary(failed)["state"] == "failed"


def test_a_pubsub_that_is_down_loses_nothing(running: Running, failed: str, sign_in: SignIn) -> None:
    before = len(requests(running))
    page = sign_in("operator", f"/operations/replay/?run_id={failed}")
    running.kill("pubsub")
    try:
        page.get_by_role("button", name="Replay 1 run").click()
        expect(page.get_by_role("alert")).to_contain_text("Pub/Sub has not confirmed the request")
    finally:
        running.start("pubsub")
    page.get_by_role("button", name="Replay 1 run").click()
    expect(page.get_by_label("Your request")).to_contain_text("queued 1 run")
    running.wait_state(failed, "warm")
    assert len(settled(running, before + 1)) == before + 1


def test_all_that_failed_is_replayed_by_hand(running: Running, failed: str) -> None:
    shown = running.command("workers", "replay", "--failed", "--experiment", "logged by the stock client", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert f"run {failed} (FINISHED, logged by the stock client)" in shown.stdout
    done = running.command("workers", "replay", "--failed", "--experiment", "logged by the stock client")
    assert " warm, " in done.stdout, done.stderr
    assert running.summary(failed)["state"] == "warm"


def test_a_seek_brings_what_was_published_since(running: Running, run_id: str) -> None:  # noqa: F811
    then = datetime.now(UTC).isoformat()
    running.complete(run_id)
    running.wait_state(run_id, "warm")
    before = running.summary(run_id)["warmed_at"]
    shown = running.command("workers", "seek", "--to", then, "--dry-run")
    assert "The inbox has 1 event of 1 run from then on (1 done)" in shown.stdout, shown.stderr
    done = running.command("workers", "seek", "--to", then)
    assert done.stdout.startswith("Done: seek to "), done.stderr
    wait(lambda: running.summary(run_id)["warmed_at"] > before, "the run to be warmed again")


def test_a_replay_of_nothing_in_particular_is_refused(running: Running) -> None:
    done = running.command("workers", "replay")
    assert done.returncode == 2
    assert "nothing is selected" in done.stderr
