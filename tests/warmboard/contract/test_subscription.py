"""Golden requests about the subscription are read by both sides; an invalid one is an error that names the field."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.paths import EXAMPLES
from warmboard.contract.cloudevents import EventError
from warmboard.contract.subscription import Action, SubscriptionRequest, Wish

GOLDEN = sorted(EXAMPLES.glob("subscription-*.json"))
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def golden(name: str = "subscription-seek-v1.json") -> tuple[dict[str, Any], dict[str, str]]:
    example = json.loads((EXAMPLES / name).read_text())
    return example["data"], example["attributes"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_request_reads_and_writes_the_same(path: Path) -> None:
    data, attributes = golden(path.name)
    written, written_attributes = SubscriptionRequest.decode(json.dumps(data).encode(), attributes).encode()
    assert (json.loads(written), written_attributes) == (data, attributes)


def test_every_action_and_field_has_a_golden_example() -> None:
    found = [golden(path.name)[0] for path in GOLDEN]
    assert {data["action"] for data in found} == set(Action)
    assert {name for data in found for name, value in data.items() if value} == set(golden()[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"to": None}, "a seek needs either a time or a snapshot"),
        ({"snapshot": "both"}, "a seek needs either a time or a snapshot"),
        ({"to": "yesterday"}, "field to is 'yesterday', not an RFC 3339 time"),
        ({"action": "purge"}, "field action is 'purge'; known: seek, create-snapshot, delete-snapshot"),
        ({"action": "create-snapshot"}, "create-snapshot needs a snapshot, and nothing else"),
        ({"action": "delete-snapshot", "to": None}, "delete-snapshot needs a snapshot"),
        ({"to": None, "snapshot": "a/../b"}, "field snapshot is 'a/../b'"),
        ({"to": None, "snapshot": "google"}, "field snapshot is 'google'"),
        ({"drop": "yes"}, "field drop is 'yes', neither true nor false"),
        ({"requested_by": ""}, "field requested_by is missing or empty"),
        ({"only_on_sundays": True}, "field only_on_sundays is unknown"),
    ],
)
def test_a_broken_field_is_named(change: dict[str, Any], message: str) -> None:
    data, attributes = golden()
    with pytest.raises(EventError, match=message):
        SubscriptionRequest.decode(json.dumps({**data, **change}).encode(), attributes)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(action=Action.SEEK, to=NOON), "seek to 2026-01-02 12:00:00 UTC"),
        (Wish(action=Action.SEEK, snapshot="s-1", drop=True), "seek to snapshot s-1, dropping unreceived messages"),
        (Wish(action=Action.CREATE, snapshot="s-1"), "create snapshot s-1"),
    ],
)
def test_a_wish_describes_itself(wish: Wish, words: str) -> None:
    assert str(wish) == words
