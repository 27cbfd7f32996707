"""Nested runs are folded under their parents, and none is lost."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from tests.webapp.listing.conftest import Make
from tests.webapp.listing.test_page import names
from webapp.annotations.change import Change
from webapp.listing import nested
from webapp.listing.view import MOST_OPENED
from webapp.visibility.models import Restriction
from webapp.visibility.reader import NOTHING


@pytest.fixture
def search(make: Make) -> None:
    """A search of three trials, one of which has a nested run itself; a run alone; and one of an unknown parent."""
    make("search", name="search")
    for number in range(3):
        make(f"trial{number}", {"lr": str(number)}, {"loss": number / 10}, parent="search")
    make("fold", parent="trial1")
    make("alone")
    make("orphan", parent="nowhere")


def listed(reader: Client, address: str = "/") -> list[str]:
    response = reader.get(address)
    assert response.status_code == 200
    return names(response.content.decode())


def toggles(reader: Client, address: str = "/") -> dict[str, tuple[str, str, str]]:
    """Run → address, whether it is unfolded, and the text."""
    pattern = r'class="chip fold"\s+href="([^"]*)"\s+data-fold="([^"]*)"\s+aria-expanded="(\w+)">([^<]*)<'
    found = re.findall(pattern, reader.get(address).content.decode())
    return {run_id: (unescape(href), expanded, text) for href, run_id, expanded, text in found}


@pytest.mark.usefixtures("search")
def test_nested_runs_are_folded_and_unfold_level_by_level(reader: Client) -> None:
    assert listed(reader) == ["orphan", "alone", "search"]
    assert toggles(reader) == {"search": ("?open=search", "false", "3 nested runs")}
    assert listed(reader, "/?open=search") == ["orphan", "alone", "search", "trial0", "trial1", "trial2"]
    unfolded = toggles(reader, "/?open=search")
    assert unfolded["search"] == ("./", "true", "3 nested runs")
    assert unfolded["trial1"] == ("?open=search&open=trial1", "false", "1 nested run")
    address = "/?open=search&open=trial1"
    assert listed(reader, address) == ["orphan", "alone", "search", "trial0", "trial1", "fold", "trial2"]
    assert listed(reader, "/?open=trial1&open=nothing") == ["orphan", "alone", "search"]
    assert "3 runs, 3 nested" in " ".join(reader.get("/").content.decode().split())


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize("address", ["/?q=is:all", "/?q=run+~+a", "/?sort=metric.loss", "/?sort=-param.lr"])
def test_a_search_and_an_order_by_values_fold_nothing(reader: Client, address: str) -> None:
    assert set(listed(reader, address)) >= {"trial0", "trial1", "trial2"}
    assert toggles(reader, address) == {}


@pytest.mark.usefixtures("search")
def test_files_and_the_api_have_every_run(reader: Client) -> None:
    assert len(reader.get("/api/runs/").json()["runs"]) == 7
    exported = b"".join(reader.get("/runs/export.csv?open=search"))
    assert len(exported.splitlines()) == 8


@pytest.mark.usefixtures("search")
def test_the_runs_of_a_parent_that_is_not_in_the_list_are(reader: Client) -> None:
    Change(archived=True).make(["search"], "ada", NOTHING)
    assert listed(reader) == ["orphan", "alone", "trial2", "trial1", "trial0"]
    Change(archived=False).make(["search"], "ada", NOTHING)
    Change(archived=True).make(["trial2"], "ada", NOTHING)
    assert toggles(reader)["search"][2] == "2 nested runs"
    assert listed(reader, "/?open=search") == ["orphan", "alone", "search", "trial0", "trial1"]


def test_a_hidden_parent_hides_none_and_a_hidden_child_is_not_counted(reader: Client, make: Make) -> None:
    Restriction.objects.create(experiment_name="secret")
    make("hidden", experiment_name="secret")
    make("seen", parent="hidden")
    make("mother")
    make("spy", experiment_name="secret", parent="mother")
    assert listed(reader) == ["mother", "seen"]
    assert toggles(reader) == {}
    assert listed(reader, "/?open=mother&open=hidden") == ["mother", "seen"]


def test_a_pinned_child_is_on_top_and_below_its_parent_no_second_time(reader: Client, make: Make) -> None:
    make("mother")
    make("child", parent="mother")
    Change(pinned=True).make(["child"], "ada", NOTHING)
    assert listed(reader, "/?open=mother") == ["child", "mother"]


def test_only_some_of_many_unfold_and_a_link_has_all(
    reader: Client, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nested, "MOST_SHOWN", 2)
    make("mother")
    for number in range(3):
        make(f"child{number}", parent="mother")
    page = reader.get("/?open=mother").content.decode()
    assert names(page) == ["mother", "child0", "child1"]
    assert "?q=parent+%3D+mother" in page
    assert len(listed(reader, "/?q=parent+%3D+mother")) == 3


def test_a_run_that_is_its_own_parent_is_in_the_list(reader: Client, make: Make) -> None:
    make("loop", parent="loop")
    assert listed(reader, "/?open=loop") == ["loop"]
    assert toggles(reader) == {}


@pytest.mark.parametrize("address", ["/?open=<script>", "/?" + "&".join(f"open=a{n}" for n in range(MOST_OPENED + 1))])
def test_what_cannot_be_unfolded_is_an_error(reader: Client, address: str) -> None:
    assert reader.get(address).status_code == 400


def test_the_last_ones_stay_unfolded(reader: Client, make: Make) -> None:
    make("mother")
    make("child", parent="mother")
    opened = "&".join(f"open=a{number}" for number in range(MOST_OPENED))
    address, _, _ = toggles(reader, f"/?{opened}")["mother"]
    assert "a0&" not in address
    assert address.endswith("open=mother")
    assert listed(reader, f"/{address}") == ["mother", "child"]
