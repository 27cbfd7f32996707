"""``--config run.toml``: options from a TOML file. The keys are the options' names, with underscores."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.options import FIELDS, LAYERS, VARIABLE, Kind, OptionError, near
from warmboard import storage

TABLE = "sweep"
TRIALS = "trials"


@dataclass(frozen=True)
class Config:
    """A config file: options, and from the table ``[sweep]`` the values to vary and the number of trials to draw."""

    options: Mapping[str, Any] = field(default_factory=dict)
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    trials: int | None = None


def read(source: str, emulator: str | None = None) -> Config:
    """Read the config at ``source``, a path or ``gs://…``. Raises OptionError, which names the key, or StorageError."""
    try:
        # Editors on Windows begin a file with a byte order mark.
        document = tomllib.loads(storage.read(source, emulator).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, too many digits, lists nested too deeply
        raise OptionError(f"{source}: not a TOML file: {error}") from error
    try:
        table = document.pop(TABLE, {})
        if not isinstance(table, dict):
            raise OptionError(f"{TABLE} is {describe(table)}, not a table [{TABLE}]")
        options = {key: value_of(key, value) for key, value in document.items()}
        trials = _trials(table.pop(TRIALS, None))
        return Config(options, {key: _values(key, values) for key, values in table.items()}, trials)
    except (OptionError, ValueError) as error:  # ValueError: a hexadecimal number can be too long to be shown
        raise OptionError(f"{source}: {error}") from error


def value_of(key: str, value: Any) -> Any:
    """Convert a value from TOML. Raises OptionError for an unknown key, a wrong type or a value out of range."""
    if key not in FIELDS:
        raise OptionError(f"unknown key {key}{near(key, FIELDS)}")
    kind: Kind = FIELDS[key].metadata["kind"]
    if kind is LAYERS and isinstance(value, str):
        # As on the command line and in the run's parameters.
        return read_text(key, value)
    if type(value) not in kind.toml:
        raise OptionError(f"{key} is {describe(value)}, not {TYPES[kind.toml[-1]]}")
    return read_text(key, _as_text(value))


def read_text(key: str, text: str) -> Any:
    """Convert an option's value from text. Raises OptionError."""
    try:
        return FIELDS[key].metadata["kind"].read(text)
    except ValueError as error:
        raise OptionError(f"{key}: {error}") from error


def check_variable(key: str) -> None:
    """Raise OptionError unless a sweep can vary this option."""
    if key in FIELDS and key not in VARIABLE:
        raise OptionError(f"{key} can't be varied: a sweep varies the options of model and training")
    if key not in FIELDS:
        raise OptionError(f"unknown key {key}{near(key, VARIABLE)}")


TYPES: Mapping[type, str] = {
    int: "a whole number", float: "a number", str: "a text", bool: "true or false", list: "a list", dict: "a table",
}  # fmt: skip


def describe(value: Any) -> str:
    """Describe a TOML value for a message."""
    if isinstance(value, bool):
        return str(value).lower()
    name = TYPES.get(type(value), f"a {type(value).__name__}")
    return f"{name} ({value!r})" if not isinstance(value, dict) else name


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _trials(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        found = value if type(value) is int else describe(value)
        raise OptionError(f"{TRIALS} in [{TABLE}] is {found}, not a whole number from 1")
    return value


def _values(key: str, values: Any) -> tuple[Any, ...]:
    check_variable(key)
    if not isinstance(values, list) or not values:
        raise OptionError(f"{key} in [{TABLE}] is {describe(values)}, not a list of values")
    return tuple(dict.fromkeys(value_of(key, value) for value in values))
