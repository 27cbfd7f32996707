"""What a run's document `about` has: everything, cut where it is too long, and says by how much."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.workers import golden_run
from tests.workers.fetch.fake_mlflow import RUN_ID
from warmboard.contract.about import About, LoggedModel
from warmboard.contract.entries import EntryKey
from workers.documents import about as module
from workers.documents.about import about, parent_of

NOTHING = {"description": 0, "tags": 0, "datasets": 0, "models": 0, "model_metrics": 0}
HISTORY = [{"artifact_path": "model", "model_uuid": "u1", "run_id": RUN_ID, "flavors": {}}, {"artifact_path": None}, 7]


def about_of(tags: dict[str, str], **fields: Any) -> About:
    return about(replace(golden_run.fetched({}, {}), tags=tags, **fields), "now")


def test_a_run_without_anything_has_the_document_too() -> None:
    found = about_of({}, datasets=[], models=[], user="", experiment_id="")
    assert (found["description"], found["description_html"], found["user"], found["parent"]) == ("", "", "", "")
    assert (found["tags"], found["cut"], found["datasets"], found["models"]) == ({}, {}, [], [])
    assert set(found["source"].values()) == {""}
    assert found["left_out"] == NOTHING


def test_the_user_is_that_of_the_tag_and_never_unknown() -> None:
    assert about_of({"mlflow.user": "ada"}, user="bob")["user"] == "ada"
    assert about_of({}, user="bob")["user"] == "bob"
    assert about_of({}, user="unknown")["user"] == ""


def test_every_tag_is_there_except_the_description() -> None:
    tags = {"__proto__": "x", "mlflow.user": "ada", "n" * 500: "\N{RIGHT-TO-LEFT OVERRIDE}evil", "empty": ""}
    found = about_of({**tags, "mlflow.note.content": "hello"}, user="")
    assert found["tags"] == tags
    assert (found["description"], found["description_html"]) == ("hello", "<p>hello</p>")
    assert found["user"] == "ada"
    assert found["left_out"] == NOTHING


def test_long_tags_are_cut_and_the_document_says_by_how_much() -> None:
    found = about_of({"long": "x" * (module.LONGEST_TAG + 7), "short": "y"})
    assert found["cut"] == {"long": 7}
    assert len(found["tags"]["long"]) == module.LONGEST_TAG
    assert found["tags"]["short"] == "y"


def test_all_tags_together_are_bounded_and_mlflows_own_come_last() -> None:
    tags = {f"mlflow.{number:04}": "x" * module.LONGEST_TAG for number in range(50)} | {"team": "ranking"}
    found = about_of(tags)
    assert next(iter(found["tags"])) == "team"
    assert len(json.dumps(found["tags"])) < module.MOST_CHARACTERS + 20_000
    assert found["left_out"]["tags"] == len(tags) - len(found["tags"]) > 0
    many = about_of({f"tag{number}": "" for number in range(module.MOST_TAGS + 3)})
    assert (len(many["tags"]), many["left_out"]["tags"]) == (module.MOST_TAGS, 3)


def test_a_long_description_is_text_and_cut() -> None:
    found = about_of({"mlflow.note.content": "# x\n" + "y" * module.LONGEST_DESCRIPTION})
    assert len(found["description"]) == module.LONGEST_DESCRIPTION
    assert (found["description_html"], found["left_out"]["description"]) == ("", 4)


def test_data_sets_models_and_their_metrics_are_bounded() -> None:
    metrics = [{"key": f"m{number:04}", "dataset": "", "value": 0.5, "step": 0} for number in range(700)]
    model: Any = {**golden_run.MODELS[0], "metrics": metrics}
    found = about_of({}, datasets=golden_run.DATASETS * 103, models=[model] * 102)
    assert (len(found["datasets"]), len(found["models"])) == (module.MOST_DATASETS, module.MOST_MODELS)
    assert [len(each["metrics"]) for each in found["models"][:3]] == [700, 300, 0]
    left_out = found["left_out"]
    assert (left_out["datasets"], left_out["models"], left_out["model_metrics"]) == (3, 2, 100 * 700 - 1000)


def test_the_models_of_an_older_client_are_read_from_its_tag() -> None:
    tags = {"mlflow.log-model.history": json.dumps(HISTORY)}
    assert [(each["name"], each["model_id"], each["role"]) for each in about_of(tags, models=[])["models"]] == [
        ("model", "u1", "output"), ("", "", "output"),
    ]  # fmt: skip
    assert about_of(tags)["models"] == golden_run.MODELS, "MLflow's own list wins"
    used: LoggedModel = {**golden_run.MODELS[0], "role": "input"}
    assert [each["role"] for each in about_of(tags, models=[used])["models"]] == ["output", "output", "input"]


@pytest.mark.parametrize("text", ["", "[", "{}", "null", "[" * 100_000])
def test_an_unreadable_history_of_models_is_none(text: str) -> None:
    assert about_of({"mlflow.log-model.history": text}, models=[])["models"] == []


@pytest.mark.parametrize(
    ("tag", "parent"), [("abc123", "abc123"), (" abc ", "abc"), ("", ""), ("../x", ""), ("a" * 65, "")]
)
def test_a_parent_is_a_run_id_or_nothing(tag: str, parent: str) -> None:
    assert parent_of({"mlflow.parentRunId": tag}) == parent


def test_the_entry_is_among_the_runs_entries() -> None:
    entry = golden_run.documents().entries()[EntryKey.about(RUN_ID)]
    assert entry.decode()["source"]["commit"] == "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"
