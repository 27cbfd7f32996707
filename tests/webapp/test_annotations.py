"""What may be said about runs, by whom, and that it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.webapp.samples import Sample
from webapp.accounts.models import AuditRecord
from webapp.annotations.change import MOST_PINNED, Change, ChangeError, read_tags
from webapp.annotations.models import Annotation
from webapp.visibility.reader import NOTHING

ADDRESS = "/api/runs/abc123def456/annotation/"


@pytest.fixture
def editor(db: None) -> Client:
    client = Client()
    user = User.objects.create_user("eve")
    user.user_permissions.add(Permission.objects.get(codename="change_annotation"))
    client.force_login(user)
    return client


def post(client: Client, document: Any, address: str = ADDRESS) -> Any:
    return client.post(address, json.dumps(document), content_type="application/json")


def test_an_editor_says_something_about_a_run_by_json(editor: Client, sample: Sample) -> None:
    nothing = editor.get(ADDRESS).json()
    assert nothing == {
        "tags": {}, "note": "", "pinned": False, "archived": False, "changed_by": None, "changed_at": None,
    }  # fmt: skip
    first = post(editor, {"tags": {"owner": "ada", "good": ""}, "note": "a\nb"}).json()
    assert (first["tags"], first["note"], first["changed_by"]) == ({"owner": "ada", "good": ""}, "a\nb", "eve")
    second = post(editor, {"tags": {"owner": "bob"}, "pinned": True}).json()
    assert (second["tags"], second["note"], second["pinned"]) == ({"owner": "bob"}, "a\nb", True)
    assert editor.get(ADDRESS).json() == second


def test_an_editor_says_something_by_the_form_of_the_page(editor: Client, sample: Sample) -> None:
    page = editor.get("/runs/abc123def456/").content.decode()
    assert "Add tags or a note" in page
    form = {"tags": "good, owner=ada", "note": "<i>fine</i>\r\nindeed", "pinned": "on"}
    answer = editor.post("/runs/abc123def456/annotation/", form)
    assert (answer.status_code, answer["Location"]) == (303, "/runs/abc123def456/")
    page = editor.get("/runs/abc123def456/").content.decode()
    assert "&lt;i&gt;fine&lt;/i&gt;<br>indeed" in page
    assert 'value="good, owner=ada"' in page
    editor.post("/runs/abc123def456/annotation/", {"tags": "", "note": ""})
    said = Annotation.objects.get()
    assert (said.note, said.pinned, said.tags.count()) == ("", False, 0)


def test_an_editor_changes_many_and_comes_back_to_the_list(editor: Client, sample: Sample) -> None:
    Sample("other").announce()
    runs = {"run": ["abc123def456", "other"]}
    came_from = {"Referer": "http://testserver/?q=tower&sort=name"}
    answer = editor.post("/annotate/archive/", runs, headers=came_from)
    assert (answer.status_code, answer["Location"]) == (303, "/?q=tower&sort=name")
    assert Annotation.objects.filter(archived=True).count() == 2
    editor.post("/annotate/restore/", runs)
    editor.post("/annotate/pin/", runs)
    editor.post("/annotate/unpin/", {"run": "other"})
    editor.post("/annotate/tag/", runs | {"tags": "good, owner=ada"})
    editor.post("/annotate/untag/", {"run": "other", "tags": "good"})
    said = {
        one.pk: (one.pinned, one.archived, [str(tag) for tag in one.tags.order_by("name")])
        for one in Annotation.objects.all()
    }
    assert said == {"abc123def456": (True, False, ["good", "owner=ada"]), "other": (False, False, ["owner=ada"])}


def test_a_form_leads_back_to_this_host_alone(editor: Client, sample: Sample) -> None:
    for came_from in ("https://evil.example/", "http://testserver//evil.example/", "javascript:x"):
        answer = editor.post("/annotate/pin/", {"run": "abc123def456"}, headers={"Referer": came_from})
        assert answer["Location"] in ("/", "/evil.example/")


@pytest.mark.parametrize(
    ("address", "document"),
    [
        (ADDRESS, {"pinned": True}),
        ("/annotate/pin/", {"run": "abc123def456"}),
        ("/runs/abc123def456/annotation/", {"note": "x"}),
    ],
)
def test_a_viewer_is_refused_and_told_why(
    reader: Client, anyone: Client, sample: Sample, address: str, document: Any
) -> None:
    answer = post(reader, document, address) if address == ADDRESS else reader.post(address, document)
    assert answer.status_code == 403
    assert "annotations.change_annotation" in answer.content.decode()
    assert not Annotation.objects.exists()
    assert reader.get(ADDRESS).status_code == 200
    assert post(anyone, document, address).status_code in (302, 401)
    assert b"Add tags" not in reader.get("/runs/abc123def456/").content


def test_changes_need_a_token_and_post(sample: Sample) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    assert post(client, {"pinned": True}).status_code == 403
    assert client.post("/annotate/pin/", {"run": "abc123def456"}).status_code == 403
    assert client.get("/annotate/pin/").status_code == 405


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "body"),
        ({}, "body"),
        ({"colour": "red"}, "body"),
        ({"pinned": "yes"}, "pinned"),
        ({"tags": ["good"]}, "tags"),
        ({"tags": {"n": 1}}, "tags"),
        ({"tags": {"": "x"}}, "tags"),
        ({"tags": {"a,b": ""}}, "tags"),
        ({"tags": {"a" * 101: ""}}, "tags"),
        ({"tags": {str(number): "" for number in range(51)}}, "tags"),
        ({"note": "\x00"}, "note"),
        ({"note": "\ud800"}, "note"),
        ({"note": "x" * 10_001}, "note"),
    ],
)
def test_what_cannot_be_said_is_named(editor: Client, sample: Sample, document: Any, why: str) -> None:
    answer = post(editor, document)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{why}: ")
    assert not Annotation.objects.exists()


def test_requests_that_make_no_sense_are_refused(editor: Client, sample: Sample) -> None:
    for text in ("{", "[" * 100_000, '{"note":' * 1000, "[" * 2000 + "]" * 2000):
        answer = editor.post(ADDRESS, text, content_type="application/json")
        assert (answer.status_code, answer.json()) == (400, {"error": "body: is not JSON. Nothing was changed."})
    assert post(editor, {"pinned": True}, "/api/runs/unheard/annotation/").status_code == 404
    assert editor.post("/annotate/explode/", {"run": "abc123def456"}).status_code == 400
    assert editor.post("/annotate/pin/", {}).status_code == 400
    assert editor.post("/annotate/tag/", {"run": "abc123def456"}).status_code == 400
    assert editor.post("/annotate/pin/", {"run": ["abc123def456", "unheard\x00"]}).status_code == 400
    assert editor.post("/annotate/pin/", {"run": ["abc123def456", "unheard"]}).status_code == 400
    assert not Annotation.objects.exists(), "all or nothing"


def test_the_audit_log_has_what_was_said(editor: Client, sample: Sample) -> None:
    Sample("other").announce()
    post(editor, {"tags": {"owner": "ada", "good": ""}, "note": "x" * 300, "pinned": True})
    editor.post("/annotate/untag/", {"run": ["abc123def456", "other"], "tags": "good"})
    one, many = AuditRecord.objects.order_by("pk")
    said = f"pinned; all tags: owner=ada, good; note: {'x' * 200}…"
    assert (one.who, one.action, one.target, one.detail) == ("eve", "annotate", "run abc123def456", said)
    assert (many.target, many.detail) == ("2 runs", "without the tags: good (abc123def456, other)")


def test_after_signing_in_again_the_page_with_the_form_opens(anyone: Client, sample: Sample) -> None:
    came_from = {"Referer": "http://testserver/runs/abc123def456/?x=log"}
    answer = anyone.post("/runs/abc123def456/annotation/", {"note": "x"}, headers=came_from)
    assert answer["Location"] == "/sign-in/?next=/runs/abc123def456/%3Fx%3Dlog"
    assert anyone.post("/runs/abc123def456/annotation/", {"note": "x"})["Location"] == "/sign-in/?next=/"


def test_pins_are_few(sample: Sample) -> None:
    for number in range(MOST_PINNED):
        Sample(f"run{number}").announce()
    Change(pinned=True).make([f"run{number}" for number in range(MOST_PINNED)], "ada", NOTHING)
    with pytest.raises(ChangeError, match="unpin some first"):
        Change(pinned=True).make(["abc123def456"], "ada", NOTHING)
    assert not Annotation.objects.filter(pk="abc123def456").exists()


def test_tags_are_read_from_a_line() -> None:
    assert read_tags(" good,owner = ada\n\nx==y, ,") == {"good": "", "owner": "ada", "x": "=y"}
