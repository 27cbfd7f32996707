"""Golden events are read by both sides; an invalid event is an error that names the field."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.paths import EXAMPLES
from warmboard.contract.cloudevents import LARGEST_DATA, EventError
from warmboard.contract.events import EventType, RunEvent, RunStatus

GOLDEN = sorted(EXAMPLES.glob("event-*.json"))


def golden(name: str = "event-completed-v1.json") -> tuple[dict[str, Any], dict[str, str]]:
    example = json.loads((EXAMPLES / name).read_text())
    return example["data"], example["attributes"]


def test_every_type_has_a_golden_example() -> None:
    types = {golden(path.name)[1]["ce-type"] for path in GOLDEN}
    assert types == set(EventType)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_event_reads_and_writes_the_same(path: Path) -> None:
    data, attributes = golden(path.name)
    event = RunEvent.decode(json.dumps(data).encode(), attributes)
    written, written_attributes = event.encode()
    assert json.loads(written) == data
    assert written_attributes == attributes


def test_started_and_progressed_are_the_golden_ones() -> None:
    fact: dict[str, Any] = {
        "run_id": "d41d8cd98f00b204e9800998ecf8427e",
        "tracking_server": "default",
        "experiment_name": "two-tower",
        "quick_test_id": 7,
    }
    begin, later = datetime(2026, 1, 2, 10, 28, tzinfo=UTC), datetime(2026, 1, 2, 10, 29, tzinfo=UTC)
    for event, name in [
        (RunEvent.started(**fact, time=begin), "event-started-v1.json"),
        (RunEvent.progressed(**fact, time=later, epochs=12), "event-progressed-v1.json"),
    ]:
        data, attributes = event.encode()
        assert (json.loads(data), attributes) == golden(name)


def test_completed_is_the_same_event_however_often_it_is_made() -> None:
    fact: dict[str, Any] = {
        "run_id": "a" * 32,
        "tracking_server": "default",
        "experiment_name": "e",
        "status": RunStatus.FINISHED,
        "end_time": datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
        "epochs": 3,
    }
    first = RunEvent.completed(**fact)
    assert first == RunEvent.completed(**fact)
    assert first.id != RunEvent.completed(**{**fact, "end_time": datetime(2026, 1, 3, tzinfo=UTC)}).id
    assert RunEvent.decode(*first.encode()) == first


def test_fields_of_a_newer_writer_are_ignored() -> None:
    data, attributes = golden()
    event = RunEvent.decode(json.dumps({**data, "colour": "blue"}).encode(), {**attributes, "ce-traceparent": "00-1"})
    assert event.quick_test_id == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_id": None}, "field run_id is missing"),
        ({"run_id": "../../etc/passwd"}, "field run_id is '../../etc/passwd'"),
        ({"run_id": 7}, "field run_id is 7, not a string"),
        ({"status": "DONE"}, "field status is 'DONE'; known: RUNNING"),
        ({"epochs": -1}, "field epochs is -1"),
        ({"epochs": True}, "field epochs is True"),
        ({"quick_test_id": 0}, "field quick_test_id is 0"),
        ({"end_time": "yesterday"}, "field end_time is 'yesterday', not an RFC 3339 time"),
        ({"end_time": "2026-01-02T10:30:00"}, "without a time zone"),
        ({"tracking_server": ""}, "field tracking_server is missing or empty"),
        ({"experiment_name": "x\0y"}, "field experiment_name holds a NUL or half a character"),
        ({"experiment_name": "\ud800"}, "field experiment_name holds a NUL or half a character"),
        ({"epochs": 10**30}, "field epochs is 1000000000"),
        ({"quick_test_id": 2**31}, "field quick_test_id is 2147483648"),
        ({"end_time": "9999-12-31T23:59:59-10:00"}, "beyond the calendar"),
        ({"experiment_name": "x" * 501}, "too long"),
    ],
)
def test_a_broken_field_is_named(change: dict[str, Any], message: str) -> None:
    data, attributes = golden()
    with pytest.raises(EventError, match=message.replace("(", r"\(").replace(")", r"\)")):
        RunEvent.decode(json.dumps({**data, **change}).encode(), attributes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ce-specversion": "0.3"}, "attribute ce-specversion is '0.3'"),
        ({"ce-type": "warmboard.run.exploded.v1"}, "known types: warmboard.run.started.v1"),
        ({"ce-id": ""}, "attribute ce-id is missing"),
        ({"ce-time": "noon"}, "attribute ce-time is 'noon'"),
        ({"ce-time": "0001-01-01T00:00:00+10:00"}, "beyond the calendar"),
        ({"ce-source": "x" * 256}, "attribute ce-source is too long"),
    ],
)
def test_a_broken_attribute_is_named(change: dict[str, str], message: str) -> None:
    data, attributes = golden()
    with pytest.raises(EventError, match=message):
        RunEvent.decode(json.dumps(data).encode(), {**attributes, **change})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b'"text"', b"[" * 200_000])
def test_data_that_is_not_a_json_object_is_an_error(data: bytes) -> None:
    with pytest.raises(EventError, match="data is"):
        RunEvent.decode(data, golden()[1])


def test_times_are_written_in_utc() -> None:
    event = RunEvent.decode(json.dumps(golden()[0]).encode(), {**golden()[1], "ce-time": "2026-01-02T12:30:00+02:00"})
    assert replace(event).encode()[1]["ce-time"] == "2026-01-02T10:30:00.000Z"


@given(st.datetimes(), st.integers(-1439, 1439), st.data())
def test_every_spelling_of_a_time_in_rfc_3339_is_read(local: datetime, offset: int, data: st.DataObject) -> None:
    assume(1 < local.year < 9999)
    zone = data.draw(st.sampled_from(["Z", "z", "+00:00", "-00:00"]))
    if offset:
        zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    digits = f"{local.microsecond:06}" + data.draw(st.sampled_from(["", "7", "789"]))
    fraction = data.draw(st.sampled_from(["", f".{digits}"]))
    letter = data.draw(st.sampled_from(["T", "t", " "]))
    text = f"{local.date().isoformat()}{letter}{local:%H:%M:%S}{fraction}{zone}"
    read = RunEvent.decode(json.dumps(golden()[0]).encode(), {**golden()[1], "ce-time": text}).time
    exact = local if fraction else local.replace(microsecond=0)
    assert read == exact.replace(tzinfo=timezone(timedelta(minutes=offset)))


@pytest.mark.parametrize("text", ["2016-12-31T23:59:60Z", "2016-12-31t23:59:60.000z", "2017-01-01T00:59:60+01:00"])
def test_a_leap_second_is_the_second_after_it(text: str) -> None:
    event = RunEvent.decode(json.dumps(golden()[0]).encode(), {**golden()[1], "ce-time": text})
    assert event.time == datetime(2017, 1, 1, tzinfo=UTC)


def test_data_too_large_for_an_event_are_not_parsed() -> None:
    data = json.dumps({**golden()[0], "padding": "x" * LARGEST_DATA}).encode()
    with pytest.raises(EventError, match=r"data has 1,000,\d+ bytes; an event has at most 1,000,000"):
        RunEvent.decode(data, golden()[1])
    fits = json.dumps({**golden()[0], "padding": "x" * (LARGEST_DATA - 1000)}).encode()
    assert RunEvent.decode(fits, golden()[1]).quick_test_id == 7
