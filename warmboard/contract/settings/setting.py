"""A setting, and the error for one that is missing or invalid."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from warmboard.contract.settings.parsers import without_credentials

T = TypeVar("T")
SETTINGS: dict[str, Setting[object]] = {}


class SettingError(ValueError):
    """An environment variable is missing or invalid. The message names it and describes valid values."""


class Setting(Generic[T]):
    """One environment variable. ``default`` is its text if it is unset or empty; None makes it required.

    ``programs`` are those that read it. The value of a ``secret`` is never shown.
    """

    # No dataclass: importing that module took a quarter of the processor time of a health check.
    def __init__(
        self,
        name: str,
        parse: Callable[[str], T],
        default: str | None,
        help: str,
        programs: tuple[str, ...],
        *,
        secret: bool = False,
    ) -> None:
        self.name = name
        self.parse = parse
        self.default = default
        self.help = help
        self.programs = programs
        self.secret = secret
        SETTINGS[name] = self  # type: ignore[assignment]

    def read(self, environ: Mapping[str, str] = os.environ) -> T:
        """Return the parsed value. Raises SettingError."""
        text = environ.get(self.name) or self.default
        if text is None:
            raise SettingError(f"{self.name} is not set. {self.help}")
        try:
            return self.parse(text)
        except ValueError as error:
            shown = "its value" if self.secret else repr(without_credentials(text))
            raise SettingError(f"{self.name}: {shown} {error}. {self.help}") from None
