"""What the list and the page say about a run that was deleted in MLflow, and about one that logs nothing any more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from store.models import Run
from tests.webapp.listing.test_page import names
from tests.webapp.samples import Sample


@pytest.fixture
def deleted(sample: Sample) -> str:
    """One of two runs."""
    Sample("kept").warm()
    Run.objects.filter(pk=sample.run_id).update(deleted_at=timezone.now())
    return sample.run_id


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", False), ("is:deleted", True), ("is:all", True), ("is:archived", False), ("metric.loss > 0", False),
        ("metric.loss > 0 and is:deleted", True), ("param.epochs", False), ("two-tower", False),
        ("is:all two-tower", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sort", ["-announced", "-started", "metric.loss", "param.epochs"])
def test_a_deleted_run_is_listed_when_asked_for(
    reader: Client, deleted: str, query: str, found: bool, sort: str
) -> None:
    runs = reader.get("/api/runs/", {"q": query, "sort": sort}).json()["runs"]
    assert (deleted in [run["mlflow_run_id"] for run in runs]) == found


def test_the_list_and_the_page_say_that_a_run_is_deleted(reader: Client, deleted: str) -> None:
    assert names(reader.get("/").content.decode()) == ["kept"]
    assert 'title="Deleted in MLflow">deleted<' in reader.get("/?q=is:deleted").content.decode()
    assert "This run was deleted in MLflow" in reader.get(f"/runs/{deleted}/").content.decode()
    assert "was deleted" not in reader.get("/runs/kept/").content.decode()
    assert reader.get(f"/api/runs/{deleted}/").json()["deleted_at"]


def test_groups_leave_deleted_runs_out(reader: Client, deleted: str) -> None:
    assert names(reader.get("/?group=status").content.decode()) == ["kept"]


@pytest.mark.parametrize(
    ("status", "minutes", "said"),
    [
        ("RUNNING", 180, True), ("RUNNING", 2, False), ("FINISHED", 180, False), ("RUNNING", None, False),
    ],
)  # fmt: skip
def test_a_run_in_progress_says_how_long_it_has_logged_nothing(
    reader: Client, sample: Sample, status: str, minutes: int | None, said: bool
) -> None:
    newest = None if minutes is None else timezone.now() - timedelta(minutes=minutes)
    Run.objects.update(status=status, newest_at=newest)
    page = reader.get("/").content.decode()
    assert ("last value 3 h ago" in page) == said


def test_newest_first_is_by_start(reader: Client, sample: Sample) -> None:
    Sample("older").warm()
    Run.objects.filter(pk="older").update(start_time=timezone.now() - timedelta(days=900), announced_at=timezone.now())
    Run.objects.filter(pk=sample.run_id).update(announced_at=timezone.now() - timedelta(days=900))
    page = reader.get("/").content.decode()
    assert names(page)[0] == "older", "by last activity"
    assert '<option value="-announced" selected>last activity</option>' in page
    assert '<option value="-started">newest first</option>' in page
    assert names(reader.get("/?sort=-started").content.decode())[0] == sample.run_id
