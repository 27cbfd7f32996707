"""Runs of a restricted experiment look like unknown runs, everywhere, to readers who may not see them."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cachetools import TTLCache
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver
from pytest_django import DjangoAssertNumQueries, DjangoDbBlocker, Settings

import webapp.urls
from store.models import Run
from tests.waiting import PATIENCE
from tests.webapp.samples import Sample
from webapp.access.middleware import PAGES_OF_THE_API
from webapp.access.readers import readers
from webapp.accounts import audit
from webapp.accounts.models import AuditRecord
from webapp.annotations.change import Change
from webapp.annotations.models import Annotation
from webapp.tokens.models import Token
from webapp.visibility.models import Restriction
from webapp.visibility.reader import NOTHING, visible

SECRET, UNKNOWN, OPEN = "5ec2e7a00001", "0b5c02e00002", "09e2a0000003"
SECRET_TEST, UNKNOWN_TEST = "70000007", "40400404"
EXPERIMENT = "los-alamos"
WORDS = (SECRET, SECRET_TEST, EXPERIMENT, "manhattan", "plutonium", "uranium", "fat-man")
CHARTS = (
    "training-history/", "training-history/?resolution=full", "training-history/?resolution=wrong",
    "histogram-data/?type=weights&tower=query", "histogram-data/", "summaries/", "about/", "metrics/", "metrics/0/",
    "metrics/0/?resolution=no",
    "export.json", "export.csv", "export.parquet", "export.csv?metrics=loss", "export.json?metrics=nothing",
    "export.csv?metrics=,",
)  # fmt: skip
LISTS = (
    "", "?q=los-alamos", "?q=is:all", "?q=is:pinned", "?q=manhattan&sort=name", "?q=tag.fat-man", "?limit=1",
    "?sort=-metric.test_loss", "?sort=param.optimizer", "?sort=-epochs&columns=param.optimizer", "?q=run+~+5ec2",
    "?q=quick_test+%3D+70000007", "?q=70000007", "?q=experiment+%3D+los-alamos",
)  # fmt: skip
GROUPED = ("?group=experiment", "?group=status", "?group=param.optimizer", "?group=experiment&q=manhattan")
TYPED = (
    "", "los", "a", "manhat", "experiment+%3D+", "experiment+~+alam", "name+%3D+", "tag.", "tag.fat", "fat", "param.",
    "metric.", "tag.fat-man+%3D+", "param.optimizer+%3D+", "metric.loss.", "status+%3D+", "run+%3D+",
)  # fmt: skip
OF_RUNS: dict[str, list[str]] = {
    "": [f"/{view}" for view in (*LISTS, *GROUPED)],
    "rows/": [f"/rows/{view}" for view in (*LISTS, *GROUPED)],
    "runs/export.csv": [f"/runs/export.csv{view}" for view in LISTS],
    "runs/export.json": [f"/runs/export.json{view}" for view in LISTS],
    "api/runs/": [f"/api/runs/{view}" for view in LISTS],
    "runs/<run_id:run_id>/": ["/runs/RUN/"],
    "quick-tests/<number:quick_test_id>/": ["/quick-tests/TEST/"],
    "api/runs/<run_id:run_id>/": ["/api/runs/RUN/"],
    "api/runs/<run_id:run_id>/annotation/": ["/api/runs/RUN/annotation/"],
    "api/complete": [f"/api/complete?q={typed}" for typed in TYPED],
    "api/compare": [f"/api/compare?runs={OPEN},RUN", f"/api/compare?runs=RUN,{OPEN}"],
    "api/compare/summaries": [f"/api/compare/summaries?metrics=loss&runs={OPEN},RUN"],
    "api/docs/": ["/api/docs/"],
    "operations/": ["/operations/?state=all", "/operations/", "/operations/?state=all&experiment=los-alamos",
                    "/operations/?state=all&q=RUN", "/operations/?state=all&q=uranium"],
    "api/operations/": ["/api/operations/?state=all", "/api/operations/?state=all&experiment=los-alamos"],
    "operations/audit/": ["/operations/audit/"],
    "operations/replay/": ["/operations/replay/?run_id=RUN", "/operations/replay/?failed=true"],
}  # fmt: skip
for _chart in CHARTS:
    _route = _chart.partition("?")[0].replace("metrics/0/", "metrics/<number:chunk>/")
    for _prefix, _part in (
        ("runs/<run_id:run_id>", "runs/RUN"),
        ("quick-tests/<number:quick_test_id>", "quick-tests/TEST"),
    ):
        OF_RUNS.setdefault(f"api/{_prefix}/{_route}", []).append(f"/api/{_part}/{_chart}")
WRITES: dict[str, list[tuple[str, dict[str, str]]]] = {
    "annotate/<str:action>/": [("/annotate/pin/", {"run": "RUN"}), ("/annotate/tag/", {"run": "RUN", "tags": "x"})],
    "runs/<run_id:run_id>/annotation/": [("/runs/RUN/annotation/", {"note": "mine"})],
    "api/runs/<run_id:run_id>/annotation/": [("/api/runs/RUN/annotation/", {"note": "mine"})],
}
OF_NO_RUN = {
    "pick/", "compare/", "sign-in/", "sign-in/google/", "sign-in/google/callback/", "sign-out/", "tokens/",
    "tokens/<number:token_id>/revoke/", "api/openapi.json", "healthz", "readyz", "operations/subscription/",
    "static/<hashed_name:name>",
}  # fmt: skip
"""What these answer names no run: a comparison's page, for one, only asks for its data. A seek only counts."""


def routes(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for item in patterns:
        if isinstance(item, URLResolver):
            yield from routes(item.url_patterns, prefix + str(item.pattern))
        elif isinstance(item, URLPattern):
            yield prefix + str(item.pattern)


def test_every_route_is_known_here() -> None:
    """A new route must say here what it shows of runs."""
    assert set(routes(webapp.urls.urlpatterns)) == OF_RUNS.keys() | WRITES.keys() | OF_NO_RUN


@pytest.fixture
def secret(db: None) -> Group:
    return with_a_secret()


def with_a_secret() -> Group:
    """One warm run that is for a team alone, newer than another that is for everybody; the team."""
    Sample(OPEN).warm(quick_test=8)
    run = Sample(SECRET, name="manhattan", experiment=EXPERIMENT)
    run.warm(quick_test=int(SECRET_TEST))
    run.announce("failed", "MLflow has lost its uranium")
    Change(note="plutonium", tags={"fat-man": ""}, pinned=True).make([SECRET], "oppenheimer", NOTHING)
    audit.note("annotate", f"run {SECRET}", "note: plutonium")
    call_command("visibility", EXPERIMENT, only_for=["team"], stdout=io.StringIO())
    return Group.objects.get(name="team")


def account(name: str, *groups: str) -> User:
    user = User.objects.create_user(name)
    user.groups.add(*(Group.objects.get(name=group) for group in groups))
    return user


def session_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def token_of(user: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {Token.create(user, 'a', None)[1]}"})


OUTSIDERS: dict[str, Callable[[], Client]] = {
    "an operator's session": lambda: session_of(account("ada", "operator")),
    "a viewer's session": lambda: session_of(account("ada", "viewer")),
    "a session in no group": lambda: session_of(account("ada")),
    "an operator's token": lambda: token_of(account("ada", "operator")),
    "anonymous, from loopback": Client,
}
INSIDERS: dict[str, Callable[[], Client]] = {
    "a member's session": lambda: session_of(account("ada", "team", "operator")),
    "an administrator's session": lambda: session_of(User.objects.create_superuser("root")),
    "a member's token": lambda: token_of(account("ada", "team", "operator")),
}


def of_the_api(route: str) -> bool:
    """Whether tokens are for it; they open no page."""
    return route.startswith("api/") and f"/{route}" not in PAGES_OF_THE_API


@pytest.fixture
def from_loopback(settings: Settings) -> None:
    settings.LOOPBACK_READ = True


def answer(client: Client, address: str, run: str = SECRET, test: str = SECRET_TEST, known: bool = False) -> str:
    """Status, headers and body; the run and what is different every time stand as words. ``known``: the reader was here
    a moment ago.
    """
    readers.forget()
    if known:
        client.get(f"/api/runs/{OPEN}/training-history/")
    return text_of(client.get(address.replace("RUN", run).replace("TEST", test)), run, test)


def text_of(response: Any, run: str, test: str) -> str:
    varying = ("Expires", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Limit", "Content-Length", "ETag")
    headers = sorted(f"{name}: {value}" for name, value in response.items() if name not in varying)
    text = "\n".join([str(response.status_code), *headers, response.getvalue().decode("latin-1")])
    text = re.sub(r'(csrfmiddlewaretoken" value|name="request" value)="[^"]*"', "", text)
    return text.replace(run, "RUN").replace(test, "TEST")


def post(client: Client, address: str, form: dict[str, str], run: str) -> Any:
    form = {name: value.replace("RUN", run) for name, value in form.items()}
    return client.post(address, form, "application/json") if "/api/" in address else client.post(address, form)


@pytest.mark.usefixtures("written_once")
class TestEveryRoute:
    @pytest.fixture(scope="class")
    @staticmethod
    def written_once(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
        """The runs, for all tests of the class: each test's own transaction is inside of this one."""
        with django_db_blocker.unblock(), transaction.atomic():
            with_a_secret()
            yield
            transaction.set_rollback(True)

    @pytest.mark.usefixtures("db", "from_loopback")
    @pytest.mark.parametrize("who", OUTSIDERS)
    @pytest.mark.parametrize("route", OF_RUNS)
    def test_a_hidden_run_is_answered_like_an_unknown_one(self, route: str, who: str) -> None:
        client = OUTSIDERS[who]()
        for address in OF_RUNS[route]:
            for known in (False, True):  # by the session or token, and past them
                got = answer(client, address, known=known)
                asked = address.replace("RUN", "").replace("TEST", "")
                assert [word for word in WORDS if word in got and word not in asked] == [], address
                if "RUN" in address or "TEST" in address:
                    assert got == answer(client, address, UNKNOWN, UNKNOWN_TEST, known), address

    @pytest.mark.usefixtures("db")
    @pytest.mark.parametrize(
        ("route", "who"),
        [(route, who) for who in INSIDERS for route in OF_RUNS if "token" not in who or of_the_api(route)],
    )
    def test_who_may_see_it_does(self, route: str, who: str) -> None:
        client = INSIDERS[who]()
        shown = []
        for address in OF_RUNS[route]:
            got = answer(client, address)
            if "RUN" in address or "TEST" in address:
                shown.append(got != answer(client, address, UNKNOWN, UNKNOWN_TEST))
            else:
                shown.append("RUN" in got or (route == "api/complete" and EXPERIMENT in got))
        assert any(shown)

    @pytest.mark.usefixtures("db")
    @pytest.mark.parametrize("route", WRITES)
    def test_no_one_writes_what_they_may_not_see(self, route: str) -> None:
        before = Annotation.objects.values().get()
        for who in ("operator", "viewer"):
            client = session_of(account(who, who))
            for address, form in WRITES[route]:
                got = [
                    text_of(post(client, address.replace("RUN", run), form, run), run, "-") for run in (SECRET, UNKNOWN)
                ]
                assert got[0] == got[1]
                assert got[0][:3] in ("400", "403", "404")
        assert Annotation.objects.values().get() == before
        member = session_of(account("grace", "team", "editor"))
        for address, form in WRITES[route]:
            assert post(member, address.replace("RUN", SECRET), form, SECRET).status_code in (200, 303)
        assert Annotation.objects.values().get() != before

    @pytest.mark.usefixtures("db")
    @pytest.mark.parametrize("route", OF_RUNS)
    def test_no_shared_cache_keeps_an_answer(self, route: str) -> None:
        client = session_of(account("ada", "team", "operator"))
        for address in OF_RUNS[route]:
            response = client.get(address.replace("RUN", SECRET).replace("TEST", SECRET_TEST))
            if response.status_code == 200:
                assert re.search("private|no-store", response["Cache-Control"]), address


def test_an_operator_replays_what_failed_and_is_not_told_of_what(secret: Group) -> None:
    client = session_of(account("ada", "operator"))
    page = client.get("/operations/replay/?failed=true").content.decode()
    assert "Replay 1 run?" in page
    assert "0 of 1 shown" in page
    for named in (f"run_id={SECRET}", f"experiment={EXPERIMENT}", f"experiment={EXPERIMENT}&failed=true"):
        assert "Nothing to replay" in client.get(f"/operations/replay/?{named}").content.decode()
    assert "counted above but not listed" in client.get("/operations/").content.decode()
    assert client.get("/api/operations/").json()["states"]["failed"]["count"] == 1


def test_operations_are_for_accounts_alone_while_anything_is_restricted(secret: Group, settings: Settings) -> None:
    settings.LOOPBACK_READ = True
    assert Client().get("/operations/")["Location"].startswith("/sign-in/")
    Restriction.objects.all().delete()
    assert Client().get("/operations/").status_code == 200


BODY = f"/api/runs/{SECRET}/training-history/"


def sees(client: Client) -> bool:
    available: bool = client.get(BODY).json()["available"]
    return available


@pytest.mark.parametrize("way", [session_of, token_of])
def test_a_change_takes_hold_at_once(secret: Group, way: Callable[[User], Client]) -> None:
    user = account("ada")
    client = way(user)
    assert not sees(client)
    user.groups.add(secret)
    assert sees(client)
    user.groups.remove(secret)
    assert not sees(client)
    secret.user_set.add(user)
    assert sees(client)
    call_command("visibility", EXPERIMENT, only_for=["others"], stdout=io.StringIO())
    assert not sees(client)
    call_command("visibility", EXPERIMENT, for_everyone=True, stdout=io.StringIO())
    assert sees(client)
    call_command("visibility", EXPERIMENT, only_for=["team"], stdout=io.StringIO())
    assert sees(client)
    secret.delete()
    assert not sees(client)
    User.objects.filter(pk=user.pk).update(is_superuser=True)
    User.objects.get(pk=user.pk).save()
    assert sees(client)


def test_a_change_takes_hold_at_once_for_loopback(secret: Group, settings: Settings) -> None:
    settings.LOOPBACK_READ = True
    assert not sees(Client())
    call_command("visibility", EXPERIMENT, for_everyone=True, stdout=io.StringIO())
    assert sees(Client())
    Restriction.objects.create(experiment_name=EXPERIMENT)
    assert not sees(Client())


def test_who_signed_in_reads_as_such_on_loopback_too(secret: Group, settings: Settings) -> None:
    settings.LOOPBACK_READ = True
    member = session_of(account("ada", "team"))
    for _ in range(3):
        assert sees(member)
        assert not sees(Client())
    member.cookies["sessionid"] = "made up"
    assert not sees(member)


def test_a_change_in_another_process_takes_hold_soon(secret: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_good", TTLCache(8, 0.2))
    client = session_of(account("ada", "team"))
    assert sees(client)
    # Past the signals of this process.
    User.groups.through.objects.all().delete()
    Run.objects.filter(pk=SECRET).update(name="trinity")
    until = time.monotonic() + PATIENCE
    while sees(client):
        assert time.monotonic() < until
    assert not sees(client)


def test_reads_ask_nothing_once_it_is_known_what_is_hidden(
    secret: Group, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.LOOPBACK_READ = True
    addresses = [f"/api/runs/{OPEN}/training-history/", f"/api/runs/{OPEN}/histogram-data/?type=weights&tower=query"]
    for client in (session_of(account("ada", "viewer")), token_of(User.objects.get(username="ada")), Client()):
        for address in addresses:
            client.get(address)
        with django_assert_num_queries(0):
            assert [client.get(address).status_code for address in addresses] == [200, 200]


def test_where_nothing_is_hidden_lists_are_asked_for_as_ever(secret: Group) -> None:
    runs = Run.objects.order_by("-announced_at")
    assert visible(runs, NOTHING) is runs

    def statements(client: Client) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            client.get("/?q=two")
        return [query["sql"] for query in queries]

    member, outsider = session_of(account("ada", "team")), session_of(account("bob"))
    restricted = statements(member)
    assert not any(EXPERIMENT in sql for sql in restricted)
    assert len(restricted) == len(statements(outsider)), "as many, whatever is hidden"
    assert any(EXPERIMENT in sql for sql in statements(outsider))
    Restriction.objects.all().delete()
    assert len(statements(outsider)) == len(restricted) - 1, "what is hidden is not asked"


def test_an_etag_opens_nothing(secret: Group) -> None:
    member, outsider = session_of(account("ada", "team")), session_of(account("bob"))
    for address in (BODY, f"/api/compare?runs={OPEN},{SECRET}"):
        tag = member.get(address)["ETag"]
        for known in (tag, "*"):
            if known == "*" and "compare" in address:
                continue  # of a comparison there always is an answer
            assert outsider.get(address, headers={"If-None-Match": known}).status_code == 200


def command(*arguments: str, **options: Any) -> str:
    said = io.StringIO()
    call_command(*arguments, stdout=said, **options)
    return said.getvalue()


def test_the_command_says_who_sees_what(db: None) -> None:
    assert command("visibility") == "no experiment is restricted\n"
    assert command("visibility", "new", "--only-for", "team", "viewer") == (
        "new: only for team (0 accounts), viewer (0 accounts); it has no runs yet\n"
    )
    Sample("a").announce()
    account("ada", "team")
    assert command("visibility", "two-tower") == "two-tower: for everyone\n"
    assert command("visibility", "two-tower", "--only-for", "team") == "two-tower: only for team (1 account)\n"
    assert command("visibility", "new", "--for-everyone").startswith("new: for everyone")
    assert command("visibility") == "two-tower: only for team (1 account)\n"
    Group.objects.get(name="team").delete()
    assert command("visibility") == "two-tower: only for administrators\n"
    assert list(AuditRecord.objects.order_by("pk").values_list("who", "action", "target", "detail")) == [
        ("command line", "visibility", "experiment new", "only for team, viewer"),
        ("command line", "visibility", "experiment two-tower", "only for team"),
        ("command line", "visibility", "experiment new", "for everyone"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--for-everyone"],
        ["--only-for", "team"],
        ["x", "--only-for", "t" * 200],
        ["x", "--only-for", ""],
        ["x" * 501, "--only-for", "team"],
    ],
)
def test_a_command_that_says_nothing_sensible_changes_nothing(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        command("visibility", *arguments)
    assert not Restriction.objects.exists()
    assert not AuditRecord.objects.exists()


def test_accounts_join_and_leave_a_team(secret: Group) -> None:
    user = account("ada", "viewer")
    assert command("account", "ada", "--join", "team") == "changed account ada: team, viewer\n"
    assert sees(session_of(user))
    assert command("account", "ada", "--group", "editor", "--leave", "team") == "changed account ada: editor\n"
    assert not sees(session_of(user))
    for wrong in ("no-such-group", "operator"):
        with pytest.raises(CommandError, match=wrong):
            command("account", "ada", "--join", wrong)
    assert AuditRecord.objects.filter(action="account", target="account ada").count() == 2
