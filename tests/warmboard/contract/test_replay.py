"""Golden replay requests are read by both sides; an invalid one is an error that names the field."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.paths import EXAMPLES
from warmboard.contract.cloudevents import EventError
from warmboard.contract.replay import ReplayRequest, Selection

GOLDEN = sorted(EXAMPLES.glob("replay-*.json"))
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def golden(name: str = "replay-run-v1.json") -> tuple[dict[str, Any], dict[str, str]]:
    example = json.loads((EXAMPLES / name).read_text())
    return example["data"], example["attributes"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_request_reads_and_writes_the_same(path: Path) -> None:
    data, attributes = golden(path.name)
    request = ReplayRequest.decode(json.dumps(data).encode(), attributes)
    written, written_attributes = request.encode()
    assert json.loads(written) == data
    assert written_attributes == attributes


def test_every_criterion_has_a_golden_example() -> None:
    given = {name for path in GOLDEN for name, value in golden(path.name)[0].items() if value}
    assert given == set(golden()[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_id": None}, "nothing is selected: at least one of run_id, experiment_name, failed, since"),
        ({"run_id": "../../etc/passwd"}, "field run_id is '../../etc/passwd'"),
        ({"run_id": 7}, "field run_id is 7, not a string"),
        ({"requested_by": ""}, "field requested_by is missing or empty"),
        ({"requested_by": "x" * 151}, "field requested_by is too long"),
        ({"experiment_name": "x" * 501}, "field experiment_name is too long"),
        ({"failed": "yes"}, "field failed is 'yes', neither true nor false"),
        ({"since": "yesterday"}, "field since is 'yesterday', not an RFC 3339 time"),
        ({"since": "2026-01-02T00:00:00"}, "without a time zone"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, "field until is .* not after since"),
        ({"everything": True}, "field everything goes with nothing else, here with run_id"),
        ({"only_on_sundays": True}, "field only_on_sundays is unknown"),
    ],
)
def test_a_broken_field_is_named(change: dict[str, Any], message: str) -> None:
    data, attributes = golden()
    with pytest.raises(EventError, match=message):
        ReplayRequest.decode(json.dumps({**data, **change}).encode(), attributes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ce-specversion": "0.3"}, "attribute ce-specversion is '0.3'"),
        ({"ce-type": "warmboard.run.started.v1"}, "known types: warmboard.replay.requested.v1"),
        ({"ce-id": ""}, "attribute ce-id is missing"),
        ({"ce-time": "noon"}, "attribute ce-time is 'noon'"),
    ],
)
def test_a_broken_attribute_is_named(change: dict[str, str], message: str) -> None:
    data, attributes = golden()
    with pytest.raises(EventError, match=re.escape(message)):
        ReplayRequest.decode(json.dumps(data).encode(), {**attributes, **change})


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"[" * 200_000])
def test_data_that_is_not_a_json_object_is_an_error(data: bytes) -> None:
    with pytest.raises(EventError, match="data is"):
        ReplayRequest.decode(data, golden()[1])


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(everything=True), "all runs"),
        (Selection(run_id="a1"), "run a1"),
        (Selection(failed=True, until=NOON), "runs with failed events until 2026-01-02 12:00:00 UTC"),
        (Selection(experiment_name="e", since=NOON), "runs of e with events since 2026-01-02 12:00:00 UTC"),
    ],
)
def test_a_selection_describes_itself(selection: Selection, words: str) -> None:
    assert str(selection) == words
