"""What others rely on by name is as the old version had it: settings, addresses, commands, shapes, keys, messages."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection
from typing import Any

import pytest
from django.core.management import load_command_class
from django.test import Client
from django.urls import get_resolver, resolve

import trainer.__main__
import trainer.sweep
import warmboard.run.flush
import workers.__main__
from tests.paths import EXAMPLES
from tests.upgrade.documents import as_then
from tests.upgrade.fixture import read
from warmboard.contract.entries import SCHEMA_VERSION, EntryKey, Resolution
from warmboard.contract.events import RunEvent
from warmboard.contract.info import RunInfo
from warmboard.contract.replay import ReplayRequest
from warmboard.contract.settings import SETTINGS, SettingError

NAMES: dict[str, Any] = read("interface.json")
FILES: dict[str, Any] = read("contract.json")
TAGS = ("mlflow.user", "mlflow.source.type")
"""The tags that the run of the golden entries had."""
HISTORY, ADDED = "run-history.ndjson", ("datasets", "models")
"""The bulk route's answer, and what its first line has in addition. Readers ignore what they do not know."""
EXAMPLE_PARTS = {
    "<run_id:run_id>": "abc123", "<number:quick_test_id>": "7", "<number:chunk>": "0", "<number:token_id>": "1",
    "<str:action>": "pin",
}  # fmt: skip


@pytest.mark.parametrize("was", NAMES["settings"], ids=lambda was: was["name"])
def test_a_setting_is_read_as_before(was: dict[str, Any]) -> None:
    setting = SETTINGS[was["name"]]
    assert (setting.default, setting.secret) == (was["default"], was["secret"])
    assert set(was["programs"]) <= set(setting.programs)
    if was["default"] is None:
        with pytest.raises(SettingError):
            setting.read({})
    else:
        assert repr(setting.read({})) == was["parsed"]


@pytest.mark.parametrize(("route", "name"), NAMES["urls"])
def test_an_address_leads_where_it_led(route: str, name: str | None) -> None:
    path = route
    for part, example in EXAMPLE_PARTS.items():
        path = path.replace(part, example)
    found = resolve(f"/{path}")
    assert found.url_name == name
    same = [item for item in get_resolver().url_patterns if str(item.pattern) == route]
    assert len(same) == 1
    assert found.func is same[0].callback


@pytest.mark.parametrize("name", NAMES["commands"])
def test_a_command_takes_the_same_options(name: str) -> None:
    parsers: dict[str, Callable[[], argparse.ArgumentParser]] = {
        "workers": workers.__main__.parser,
        "trainer": trainer.__main__.parser,
        "trainer sweep": trainer.sweep.parser,
        "flush": warmboard.run.flush.parser,
        "webapp manage account": lambda: load_command_class("webapp.accounts", "account").create_parser("", ""),
        "webapp manage visibility": lambda: load_command_class("webapp.visibility", "visibility").create_parser("", ""),
    }
    assert_takes(parsers[name](), NAMES["commands"][name])


def assert_takes(parser: argparse.ArgumentParser, was: dict[str, Any]) -> None:
    """The parser has the options of then, and the commands of then with theirs. What a positional is called in the
    help may change.
    """
    options: set[str] = set()
    commands: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = dict(action.choices)
        else:
            options |= set(action.option_strings)
    assert {option for option in was["options"] if option.startswith("-")} <= options
    for name, child in was.get("commands", {}).items():
        assert_takes(commands[name], child)


@pytest.mark.django_db
def test_the_api_has_the_same_addresses_parameters_and_fields(admin_client: Client) -> None:
    document = json.loads(admin_client.get("/api/openapi.json", headers={"Host": "localhost"}).content)
    for operation, parameters in NAMES["openapi"]["paths"].items():
        method, path = operation.split(" ")
        now = {
            f"{parameter['in']} {parameter['name']}{' required' if parameter.get('required') else ''}"
            for parameter in document["paths"][path][method].get("parameters", [])
            if "name" in parameter
        }
        assert set(parameters) <= now, operation
    for name, fields in NAMES["openapi"]["shapes"].items():
        assert set(fields) <= document["components"]["schemas"][name].get("properties", {}).keys(), name


def test_entries_have_the_same_keys_in_their_own_schema() -> None:
    run_id = read("known.json")["runs"]["golden"]
    assert len(NAMES["keys"]) == 13
    for name, key in NAMES["keys"].items():
        entry, resolution = name.split(" ")
        found = str(EntryKey(run_id, entry, Resolution(resolution)))
        assert found != key
        assert found == key.replace(":v2:", f":v{SCHEMA_VERSION}:")


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("entry-")])
def test_a_golden_message_is_the_same_file_with_the_same_meaning(name: str) -> None:
    data = (EXAMPLES / name).read_bytes()
    if name == HISTORY:
        data = without(data, ADDED)
    assert hashlib.sha256(data).hexdigest() == FILES[name]["sha256"]
    if FILES[name]["decoded"] is not None:
        assert decoded(name, data) == FILES[name]["decoded"]


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("entry-")])
def test_a_golden_entry_has_every_field_of_then_with_its_value(name: str) -> None:
    document = as_then(name.removeprefix("entry-"), json.loads((EXAMPLES / name).read_text()))
    if "tags" in document:
        document["tags"] = {tag: document["tags"][tag] for tag in TAGS}
    data = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
    assert hashlib.sha256(data).hexdigest() == FILES[name]["sha256"]


def without(data: bytes, fields: Collection[str]) -> bytes:
    """A run's history without these fields of its first line."""
    head, _, rest = data.partition(b"\n")
    document = {name: value for name, value in json.loads(head).items() if name not in fields}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" + rest


def decoded(name: str, data: bytes) -> Any:
    """The value that a golden message is decoded to, as JSON."""
    value: RunEvent | ReplayRequest | RunInfo
    if name.startswith("mlflow-info-"):
        value = RunInfo.decode(data)
    else:
        message = json.loads(data)
        kind = RunEvent if name.startswith("event-") else ReplayRequest
        value = kind.decode(json.dumps(message["data"]).encode(), message["attributes"])
    return json.loads(json.dumps(dataclasses.asdict(value), default=lambda item: item.isoformat()))
