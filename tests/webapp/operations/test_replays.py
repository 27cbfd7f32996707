"""Replays from the page: what the preview shows is what is sent, once, by those who may."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from deploy.local.process import free_port
from store.models import InboxEvent
from tests.waiting import PATIENCE
from tests.warmboard.servers import FakePubsub
from tests.webapp.operations.test_operations import event, member
from tests.webapp.samples import Sample
from warmboard.contract.replay import ReplayRequest, Selection
from webapp.accounts.models import AuditRecord
from webapp.operations import drafts, publishing

PAGE = "/operations/replay/"


def preview(client: Client, query: str) -> str:
    answer = client.get(PAGE + query)
    assert answer.status_code == 200, answer.content.decode()
    return answer.content.decode()


def signed(page: str) -> dict[str, str]:
    """The form of a preview, as a browser would send it."""
    found = re.search(r'name="request" value="([^"]+)"', page)
    assert found
    return {"request": found[1]}


def sent(pubsub: FakePubsub) -> list[ReplayRequest]:
    return [ReplayRequest.decode(message.data, dict(message.attributes)) for message in pubsub.messages]


def test_what_was_shown_is_sent(operator: Client, pubsub: FakePubsub) -> None:
    for number in range(22):
        event(f"run{number:02}", "failed")
    page = preview(operator, "?failed=true")
    assert "Replay 22 runs?" in page
    assert len(re.findall(r'<li>\s*<a href="/runs/run', page)) == 20
    answer = operator.post(PAGE, signed(page))
    request = sent(pubsub)[0]
    assert answer["Location"] == f"/operations/?replay={request.id}"
    assert (request.requested_by, request.selection.failed) == ("operator-0", True)
    assert request.selection.until
    assert abs(request.selection.until - timezone.now()) < timedelta(minutes=1), "what fails later was not shown"
    assert pubsub.topics == ["projects/warmboard-local/topics/warmboard-runs"]


def test_what_failed_just_now_is_among_it(operator: Client, pubsub: FakePubsub) -> None:
    row = event("now", "failed")
    page = preview(operator, "?failed=true")
    operator.post(PAGE, signed(page))
    row.refresh_from_db()
    until = sent(pubsub)[0].selection.until
    assert "Replay 1 run?" in page
    assert until
    assert row.received_at < until


@pytest.mark.parametrize(
    ("query", "selection"),
    [
        ("?run_id=a1", Selection(run_id="a1")),
        ("?experiment=two-tower", Selection(experiment_name="two-tower")),
        ("?everything=true", Selection(everything=True)),
        (
            "?since=2026-01-01T00:00&until=2999-01-01T02:00%2B02:00&failed=true&experiment=two-tower",
            Selection(
                experiment_name="two-tower", failed=True,
                since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2999, 1, 1, tzinfo=UTC),
            ),
        ),
    ],
)  # fmt: skip
def test_everything_can_be_selected(operator: Client, pubsub: FakePubsub, query: str, selection: Selection) -> None:
    event("a1", "failed")
    operator.post(PAGE, signed(preview(operator, query)))
    assert [request.selection for request in sent(pubsub)] == [selection]


def test_nothing_to_replay_has_no_button(operator: Client) -> None:
    assert "<form method" not in preview(operator, "?failed=true").split("<main")[1]


def test_sent_twice_it_is_one_request(operator: Client, pubsub: FakePubsub) -> None:
    event("a1", "failed")
    form = signed(preview(operator, "?failed=true"))
    first, second = operator.post(PAGE, form), operator.post(PAGE, form)
    assert first["Location"] == second["Location"]
    one, other = sent(pubsub)
    assert one == other
    assert sent(pubsub)[0].id != signed(preview(operator, "?failed=true"))["request"]


@pytest.mark.parametrize("refuse_with", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND])
def test_a_pubsub_that_refuses_is_told_and_the_same_request_can_be_sent_again(
    operator: Client, pubsub: FakePubsub, refuse_with: grpc.StatusCode
) -> None:
    event("a1", "failed")
    form = signed(preview(operator, "?failed=true"))
    pubsub.refuse_with = refuse_with
    answer = operator.post(PAGE, form)
    assert answer.status_code == 503
    text = answer.content.decode()
    assert "Pub/Sub has not confirmed the request" in text
    assert "rejected by the test" in text
    pubsub.refuse_with = None
    assert operator.post(PAGE, signed(text)).status_code == 302
    assert drafts.unsign(form["request"], "operator-0", ReplayRequest.decode) == sent(pubsub)[0]
    assert [record.outcome.split(":")[0] for record in AuditRecord.objects.order_by("pk")] == ["not confirmed", "sent"]


def test_a_pubsub_that_is_down_is_told_in_seconds(
    operator: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PUBSUB_EMULATOR_HOST = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr(publishing.Topic.publish, "__defaults__", (0.5,))
    event("a1", "failed")
    assert operator.post(PAGE, signed(preview(operator, "?failed=true"))).status_code == 503


def test_who_asked_for_what_is_written_down(operator: Client, pubsub: FakePubsub) -> None:
    event("a1", "failed")
    operator.post(PAGE, signed(preview(operator, "?run_id=a1")))
    record = AuditRecord.objects.get()
    assert (record.who, record.action, record.target, record.outcome) == ("operator-0", "replay", "run a1", "sent")
    assert sent(pubsub)[0].id in record.detail
    assert "replay: run a1" in operator.get("/operations/").content.decode()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "nothing is selected"),
        ("?failed=maybe", "neither true nor false"),
        ("?run_id=../x", "is not a run ID"),
        ("?since=soon", "is not a time like 2026-01-02T10:30"),
        ("?since=0001-01-01T00:00%2B05:00", "is not a time like"),
        ("?since=2026-01-02T00:00&until=2026-01-01T00:00", "not after since"),
        ("?everything=true&run_id=a1", "everything goes with nothing else"),
        ("?experiment=%00", "contains NUL"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(operator: Client, query: str, says: str) -> None:
    answer = operator.get(PAGE + query)
    assert answer.status_code == 400
    assert says in answer.content.decode()


def test_a_form_that_was_not_shown_is_refused(
    operator: Client, pubsub: FakePubsub, monkeypatch: pytest.MonkeyPatch
) -> None:
    event("a1", "failed")
    form = signed(preview(operator, "?failed=true"))
    for broken in ({}, {"request": "x"}, {"request": form["request"][:-2]}, {"request": "\0"}):
        assert operator.post(PAGE, broken).status_code == 400
    other = member().post(PAGE, form)
    assert "was shown to operator-0" in other.content.decode()
    later = time.time() + drafts.GOOD_FOR.total_seconds() + 1
    monkeypatch.setattr("django.core.signing.time.time", lambda: later)
    assert "more than an hour old" in operator.post(PAGE, form).content.decode()
    assert sent(pubsub) == []


@pytest.mark.parametrize("group", ["viewer", "editor"])
def test_others_can_neither_look_nor_send(operator: Client, pubsub: FakePubsub, group: str) -> None:
    event("a1", "failed")
    form = signed(preview(operator, "?failed=true"))
    client = member(group)
    assert client.get(f"{PAGE}?failed=true").status_code == 403
    assert client.post(PAGE, form).status_code == 403
    assert sent(pubsub) == []


def test_a_form_needs_its_token(operator: Client, pubsub: FakePubsub) -> None:
    event("a1", "failed")
    form = signed(preview(operator, "?failed=true"))
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(PAGE, form).status_code == 403
    assert sent(pubsub) == []


def test_looking_sends_and_changes_nothing(operator: Client, pubsub: FakePubsub) -> None:
    Sample("a1").announce("failed")
    before = list(InboxEvent.objects.values())
    preview(operator, "?failed=true")
    assert (list(InboxEvent.objects.values()), sent(pubsub)) == (before, [])


def test_nothing_of_googles_is_loaded_before_something_is_sent() -> None:
    program = "import django; django.setup(); import webapp.urls, sys; print({'grpc', 'google'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stdout.strip() == "set()"
