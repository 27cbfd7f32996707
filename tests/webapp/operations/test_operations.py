"""The operations page and its JSON: the contents of the inbox, and who may see them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from store.models import Backfill, InboxEvent, TrackingServerState
from tests.webapp.samples import Sample
from warmboard.contract.replay import ReplayRequest, Selection
from webapp.accounts import audit

PAGE, API = "/operations/", "/api/operations/"


def member(group: str = "operator") -> Client:
    """A browser in which a member of that group has signed in."""
    user = User.objects.create_user(f"{group}-{User.objects.count()}")
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client


def event(run_id: str, state: str, reason: str = "", **change: Any) -> InboxEvent:
    row = Sample(run_id).announce(state, reason)
    InboxEvent.objects.filter(pk=row.pk).update(**change)
    return row


def unreadable(data: bytes = b"\xff <script>alert(1)</script>") -> InboxEvent:
    return InboxEvent.objects.create(
        source="unreadable", event_id="m1", attributes={"<b>": "x"}, data=data, published_at=timezone.now(),
        state="unreadable", reason="attribute ce-specversion is None, not '1.0'",
    )  # fmt: skip


def titles(page: str) -> list[str]:
    return re.findall(r'id="event-(\d+)"', page)


def test_what_needs_attention_is_listed_with_its_message(operator: Client) -> None:
    event("lost", "failed", "no such run", attempts=8)
    unreadable()
    event("fine", "done")
    page = operator.get(PAGE).content.decode()
    assert "no such run" in page
    assert "8 attempts" in page
    assert "&quot;run_id&quot;: &quot;lost&quot;" in page
    assert r"\xff &lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "&lt;b&gt;" in page
    assert len(titles(page)) == 2


def test_states_are_counted_by_age(operator: Client) -> None:
    now = timezone.now()
    for number, age in enumerate((0, 5, 30, 3 * 60, 40 * 60, 3 * 24 * 60, 30 * 24 * 60)):
        event(f"run{number}", "failed", received_at=now - timedelta(minutes=age))
    event("waits", "pending", due_at=now)
    states = operator.get(API).json()["states"]
    assert states["failed"]["count"] == 7
    assert states["failed"]["by_age"] == [1, 1, 1, 1, 2, 1]
    assert states["failed"]["oldest_received_at"].startswith(f"{now - timedelta(days=30):%Y-%m-%d}")
    assert states["pending"] == {**states["pending"], "count": 1, "by_age": [1, 0, 0, 0, 0, 0]}
    assert states["unreadable"] == {"count": 0, "oldest_received_at": None, "by_age": [0] * 6}
    assert "under 1 min: 1, under 10 min: 1, under 1 h: 1" in operator.get(PAGE).content.decode()


def test_what_is_in_flight_says_which_worker_since_when(operator: Client) -> None:
    since = timezone.now() - timedelta(minutes=3)
    event("flies", "warming", claimed_by="celery@w1", claimed_at=since, attempts=2, due_at=timezone.now())
    flight = operator.get(API).json()["in_flight"]
    assert [(one["mlflow_run_id"], one["worker"], one["attempts"]) for one in flight] == [("flies", "celery@w1", 2)]
    page = operator.get(PAGE).content.decode()
    assert "celery@w1" in page
    assert "3 min ago" in page


def test_what_the_sweep_should_have_seen_is_told(operator: Client) -> None:
    assert "nothing overdue" in operator.get(PAGE).content.decode()
    event("forgotten", "pending", due_at=timezone.now() - timedelta(minutes=5))
    assert operator.get(API).json()["parts"]["sweep"] == {"overdue": 1}
    assert "1 overdue" in operator.get(PAGE).content.decode()


def test_a_tracking_server_that_is_down_is_told(operator: Client) -> None:
    assert operator.get(API).json()["parts"]["tracking_servers"] == []
    event("waits", "pending", due_at=None)
    event("waits-too", "pending")
    event("done", "done")
    since = timezone.now() - timedelta(minutes=5)
    TrackingServerState.objects.create(name="default", down_since=since, reason="<connection refused>")
    (server,) = operator.get(API).json()["parts"]["tracking_servers"]
    assert (server["name"], server["waiting"], server["reason"]) == ("default", 2, "<connection refused>")
    assert server["down_since"].startswith(f"{since:%Y-%m-%dT%H:%M}")
    page = operator.get(PAGE).content.decode()
    assert f"{since:%Y-%m-%d %H:%M}</time>" in page
    assert "&lt;connection refused&gt;" in page
    assert "2 runs wait" in " ".join(page.split())
    assert "Beat doesn't ask it" in page
    TrackingServerState.objects.update(asked_at=timezone.now())
    assert "Beat doesn't ask it" not in operator.get(PAGE).content.decode()
    TrackingServerState.objects.update(down_since=None)
    assert "2 waiting runs" in " ".join(operator.get(PAGE).content.decode().split())


def test_how_far_the_warming_of_earlier_runs_is(operator: Client) -> None:
    assert operator.get(API).json()["parts"]["earlier_runs"] == []
    now = timezone.now()
    Backfill.objects.create(name="eu", found=12, experiments=2, to_warm=9, done=4, listed_at=now)
    (told,) = operator.get(API).json()["parts"]["earlier_runs"]
    assert {name: told[name] for name in ("name", "found", "experiments", "to_warm", "done", "finished_at")} == {
        "name": "eu", "found": 12, "experiments": 2, "to_warm": 9, "done": 4, "finished_at": None,
    }  # fmt: skip
    page = " ".join(operator.get(PAGE).content.decode().split())
    assert "Earlier runs of eu" in page
    assert "4 of 9" in page
    assert "12 ended runs found in 2 experiments" in page
    Backfill.objects.update(done=9, finished_at=now)
    assert operator.get(API).json()["parts"]["earlier_runs"][0]["finished_at"]
    assert f"{now:%Y-%m-%d %H:%M}</time>" in operator.get(PAGE).content.decode()


def test_redis_that_is_down_is_told(operator: Client, settings: Settings) -> None:
    assert operator.get(API).json()["parts"]["redis"] == "answers"
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert operator.get(API).json()["parts"]["redis"] == "away"
    assert "no work is queued until it is back" in operator.get(PAGE).content.decode()


def test_events_are_filtered(operator: Client) -> None:
    rows = {name: event(name, state) for name, state in (("a1", "failed"), ("a2", "done"), ("b1", "failed"))}
    Sample("c1", experiment="other").announce("failed", "Because of This")

    def found(query: str) -> list[str]:
        return [one["mlflow_run_id"] for one in operator.get(API + query).json()["events"]]

    assert found("") == ["c1", "b1", "a1"]
    assert found("?state=all") == ["c1", "b1", "a2", "a1"]
    assert found("?state=done") == ["a2"]
    assert found("?experiment=other") == ["c1"]
    assert found("?q=because of") == ["c1"]
    assert found("?q=a1&state=all") == ["a1"]
    assert found(f"?before={rows['b1'].pk}") == ["a1"]
    assert "No matching events." in operator.get(f"{PAGE}?q=nothing").content.decode()


@pytest.mark.parametrize("first", [1, 48, 100_000])
def test_pages_of_events_follow_one_another(operator: Client, first: int) -> None:
    """Also where a row's number is that of the default limit."""
    rows = list(range(first, first + 5))
    for pk in rows:
        InboxEvent.objects.filter(pk=event(f"run{pk}", "failed").pk).update(id=pk)
    address, seen = f"{PAGE}?limit=2", list[str]()
    while address:
        page = operator.get(address).content.decode()
        seen += titles(page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == [str(pk) for pk in reversed(rows)]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("?state=odd", "state"), ("?before=x", "before"), ("?before=-1", "before"), ("?limit=0", "limit"),
     ("?limit=201", "limit"), (f"?before={2**63}", "before"), (f"?before={'0' * 19}1{'9' * 30}", "before"),
     ("?q=%00", "q"), (f"?experiment={'x' * 501}", "experiment")],
)  # fmt: skip
def test_a_parameter_that_can_t_be_used_is_named(operator: Client, query: str, parameter: str) -> None:
    refused = operator.get(API + query)
    assert (refused.status_code, refused.json()["parameter"]) == (400, parameter)
    assert operator.get(PAGE + query).status_code == 400


def test_they_cost_the_same_queries_however_much_they_show(
    operator: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 3, 12):
        for number in range(count):
            event(f"run{count}x{number}", "failed")
            event(f"flies{count}x{number}", "warming")
        request("r" * 31 + str(count % 10))
        with django_assert_num_queries(14):
            operator.get(f"{PAGE}?state=all")
        with django_assert_num_queries(13):
            operator.get(f"{API}?state=all")


def request(request_id: str) -> InboxEvent:
    wanted = ReplayRequest(id=request_id, time=timezone.now(), selection=Selection(failed=True), requested_by="ada")
    data, attributes = wanted.encode()
    return InboxEvent.objects.create(
        source=wanted.source, event_id=wanted.id, type=attributes["ce-type"], attributes=attributes, data=data,
        published_at=timezone.now(), state="pending",
    )  # fmt: skip


def test_a_replay_that_was_sent_is_followed(operator: Client) -> None:
    sent = f"{PAGE}?replay={'a' * 32}"
    assert "on its way through Pub/Sub" in operator.get(sent).content.decode()
    request("a" * 32)
    page = operator.get(sent).content.decode()
    assert "runs with failed events, requested by ada" in page
    InboxEvent.objects.update(state="done", reason="handed out 3 runs")
    assert "handed out 3 runs" in operator.get(sent).content.decode()
    assert "on its way" in operator.get(f"{PAGE}?replay=%00<b>").content.decode()


def test_a_payload_that_a_newer_version_wrote_is_shown_all_the_same(operator: Client) -> None:
    row = request("b" * 32)
    InboxEvent.objects.filter(pk=row.pk).update(data=b'{"colour": "\\ud800"}')
    page = operator.get(f"{PAGE}?state=all&replay={'b' * 32}").content.decode()
    assert r"&quot;colour&quot;: &quot;\ud800&quot;" in page


def test_a_huge_payload_is_cut(operator: Client) -> None:
    unreadable(b"x" * 50_000)
    assert "x… (50,000 bytes)" in operator.get(PAGE).content.decode()


def test_what_has_not_changed_is_not_sent_again(operator: Client) -> None:
    first = operator.get(API)
    assert f'data-etag="{first["ETag"].replace(chr(34), "&quot;")}"' in operator.get(PAGE).content.decode()
    again = operator.get(API, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    event("new", "failed")
    assert operator.get(API, headers={"If-None-Match": first["ETag"]}).status_code == 200


@pytest.mark.parametrize("group", ["viewer", "editor"])
def test_others_are_told_which_group_they_need(db: None, group: str) -> None:
    client = member(group)
    page = client.get(PAGE)
    assert page.status_code == 403
    text = page.content.decode()
    assert "This needs the group operator." in text
    assert f"in the group {group}" in text
    assert "manage account" in text
    refused = client.get(API)
    assert (refused.status_code, refused.json()) == (403, {"error": "This needs the group operator."})
    assert "/operations/" not in client.get("/").content.decode()


def test_an_administrator_is_an_operator(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(PAGE).content.decode()
    assert "administrator" in page
    assert "Replay all failed" in page


def test_anonymous_readers_sign_in_first(anyone: Client) -> None:
    assert anyone.get(PAGE)["Location"] == f"/sign-in/?next={PAGE}"
    assert anyone.get(API).status_code == 401


def test_loopback_reads_it_and_can_t_replay(anyone: Client, settings: Settings) -> None:
    settings.LOOPBACK_READ = True
    event("lost", "failed")
    page = anyone.get(f"{PAGE}?state=all")
    assert page.status_code == 200
    text = page.content.decode()
    assert 'href="/sign-in/?next=/operations/%3Fstate%3Dall"' in text
    assert "Replay all failed" not in text
    assert anyone.get(API).status_code == 200
    assert anyone.get("/operations/replay/?failed=true")["Location"].startswith("/sign-in/?next=/operations/replay/")
    assert anyone.post("/operations/replay/", {"request": "x"}).status_code == 302


def test_a_viewer_is_refused_on_loopback_too(db: None, settings: Settings) -> None:
    settings.LOOPBACK_READ = True
    client = member("viewer")
    assert client.get(PAGE).status_code == 403
    assert client.get(API).status_code == 403
    assert "/operations/" not in client.get("/").content.decode()


def test_all_records_of_the_audit_log_can_be_read(operator: Client) -> None:
    for number in range(130):
        audit.note("replay", f"run {number}", "")
    page = operator.get(PAGE).content.decode()
    assert 'href="/operations/audit/"' in page
    first = operator.get("/operations/audit/").content.decode()
    assert "run 129\n" in first
    assert "run 29\n" not in first
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older
    second = operator.get(f"/operations/audit/{older[1]}").content.decode()
    assert "run 29\n" in second
    assert "run 0\n" in second
    assert 'rel="next"' not in second
    for wrong in ("x", "1" * 19, "-1"):
        assert operator.get(f"/operations/audit/?before={wrong}").status_code == 400
    assert member("editor").get("/operations/audit/").status_code == 403
