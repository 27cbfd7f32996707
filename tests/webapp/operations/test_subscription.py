"""Seeks and snapshots from the page: what the preview shows is what is sent, by operators alone."""

from __future__ import annotations

import re
from datetime import timedelta

import grpc
import pytest
from django.test import Client
from django.utils import timezone

from store.models import InboxEvent, Snapshot
from tests.warmboard.servers import FakePubsub
from tests.webapp.operations.test_operations import event, member, unreadable
from tests.webapp.operations.test_replays import preview, signed
from warmboard.contract.subscription import Action, SubscriptionRequest, Wish
from webapp.accounts.models import AuditRecord
from webapp.operations import overview
from webapp.operations.filter import Filter

PAGE = "/operations/subscription/"


def show(client: Client, query: str) -> str:
    answer = client.get(PAGE + query)
    assert answer.status_code == 200, answer.content.decode()
    return answer.content.decode()


def words(page: str) -> str:
    """The text of a page's main part, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("<main")[1]).split())


def sent(server: FakePubsub) -> list[Wish]:
    return [SubscriptionRequest.decode(message.data, dict(message.attributes)).wish for message in server.messages]


@pytest.fixture
def snapshot(db: None) -> Snapshot:
    now = timezone.now()
    return Snapshot.objects.create(name="before-upgrade", oldest_at=now, expires_at=now + timedelta(days=7))


def test_a_seek_shows_what_the_inbox_has_and_sends_what_was_shown(operator: Client, pubsub: FakePubsub) -> None:
    for number in range(3):
        event(f"run{number}", "done" if number else "failed")
    event("found", "done", source="/warmboard/sweep")
    page = show(operator, "?action=seek&to=2026-01-02T10:00")
    assert "The inbox has 3 events of 3 runs from then on (2 done, 1 failed)" in words(page)
    assert "Other messages may come" in words(page)
    assert "the seek is refused" in words(page)
    answer = operator.post(PAGE, signed(page))
    wish = sent(pubsub)[0]
    assert str(wish) == "seek to 2026-01-02 10:00:00 UTC"
    assert re.fullmatch(r"/operations/\?replay=[0-9a-f]{32}", answer["Location"])
    assert "on its way through Pub/Sub" in words(operator.get(answer["Location"]).content.decode())
    record = AuditRecord.objects.get()
    assert (record.who, record.action, record.target, record.outcome) == (
        "operator-0", "seek", "to 2026-01-02 10:00:00 UTC", "sent",
    )  # fmt: skip


def test_snapshots_are_listed_made_sought_and_deleted(
    operator: Client,
    pubsub: FakePubsub,
    snapshot: Snapshot,
) -> None:
    Snapshot.objects.create(name="expired", oldest_at=timezone.now(), expires_at=timezone.now())
    listed = operator.get("/operations/").content.decode()
    assert "before-upgrade" in words(listed)
    assert "expired" not in words(listed).replace("expires", "")
    assert [found["name"] for found in operator.get("/api/operations/").json()["snapshots"]] == ["before-upgrade"]
    for query in (
        "?action=create-snapshot&snapshot=another", "?action=seek&snapshot=before-upgrade&drop=true",
        "?action=delete-snapshot&snapshot=before-upgrade",
    ):  # fmt: skip
        assert operator.post(PAGE, signed(show(operator, query))).status_code == 302
    assert sent(pubsub) == [
        Wish(action=Action.CREATE, snapshot="another"),
        Wish(action=Action.SEEK, snapshot="before-upgrade", drop=True),
        Wish(action=Action.DELETE, snapshot="before-upgrade"),
    ]
    assert "its range is unknown" in words(show(operator, "?action=seek&snapshot=elsewhere"))


def test_the_outcome_is_shown_when_a_subscriber_has_it(operator: Client, pubsub: FakePubsub) -> None:
    answer = operator.post(PAGE, signed(show(operator, "?action=create-snapshot&snapshot=another")))
    message = pubsub.messages[0]
    InboxEvent.objects.create(
        source="/warmboard/webapp", event_id=message.attributes["ce-id"], type=message.attributes["ce-type"],
        attributes=dict(message.attributes), data=message.data, published_at=timezone.now(), state="done",
        reason="Made snapshot another.",
    )  # fmt: skip
    page = words(operator.get(answer["Location"]).content.decode())
    assert "done create snapshot another, requested by operator-0: Made snapshot another. " in page


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "is unknown"),
        ("?action=purge", "is unknown"),
        ("?action=seek", "either a time or a snapshot"),
        ("?action=seek&to=soon", "is not a time like"),
        ("?action=seek&to=0001-01-02T00:00", "is before 1970"),
        ("?action=seek&snapshot=../x", "letters, digits"),
        ("?action=create-snapshot", "needs a snapshot"),
        ("?action=seek&snapshot=abc&drop=maybe", "neither true nor false"),
        ("?action=seek&snapshot=%00", "contains NUL"),
    ],
)
def test_what_makes_no_sense_is_refused(operator: Client, query: str, says: str) -> None:
    answer = operator.get(PAGE + query)
    assert answer.status_code == 400
    assert says in answer.content.decode()


def test_a_pubsub_that_refuses_is_told_and_the_request_can_be_sent_again(operator: Client, pubsub: FakePubsub) -> None:
    form = signed(show(operator, "?action=create-snapshot&snapshot=another"))
    pubsub.refuse_with = grpc.StatusCode.PERMISSION_DENIED
    answer = operator.post(PAGE, form)
    assert answer.status_code == 503
    assert "Pub/Sub has not confirmed the request" in words(answer.content.decode())
    pubsub.refuse_with = None
    assert operator.post(PAGE, signed(answer.content.decode())).status_code == 302


def test_a_form_of_a_replay_is_none_of_a_seek(operator: Client, pubsub: FakePubsub) -> None:
    event("a1", "failed")
    assert operator.post(PAGE, signed(preview(operator, "?failed=true"))).status_code == 400
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(PAGE, signed(show(operator, "?action=create-snapshot&snapshot=another"))).status_code == 403
    assert sent(pubsub) == []


@pytest.mark.parametrize("group", ["viewer", "editor"])
def test_others_can_neither_look_nor_send(operator: Client, pubsub: FakePubsub, group: str) -> None:
    form = signed(show(operator, "?action=create-snapshot&snapshot=another"))
    client = member(group)
    assert client.get(f"{PAGE}?action=create-snapshot&snapshot=another").status_code == 403
    assert client.post(PAGE, form).status_code == 403
    assert sent(pubsub) == []


def test_the_beginning_of_a_large_message_is_read_and_shown(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    unreadable(b"x" * 1_000_000)
    found = operator.get("/api/operations/").json()["events"][0]["payload"]
    assert found == "x" * 20_000 + "… (1,000,000 bytes)"
    monkeypatch.setattr(overview, "BYTES_SHOWN", 100)
    listed = overview.Overview.find(Filter(), frozenset()).events[0]
    assert (len(listed.data), listed.size) == (100, 1_000_000)
