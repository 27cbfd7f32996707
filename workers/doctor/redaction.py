"""Takes secrets out of findings: messages of servers and libraries may have any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from warmboard.contract.settings import SETTINGS
from workers.doctor.finding import Finding

HIDDEN = "***"
SHORTEST = 4
"""Characters of a secret. Shorter ones would be found in other words, and guessed anyway."""
CREDENTIALS = re.compile(r"(?<=://)(?!(?:(?:USER)?:PASSWORD|TOKEN)@)[^/@\s]+(?=@)")
"""Of an address, but not of the shape of one that a fix shows."""


def redacted(findings: Iterable[Finding], environ: Mapping[str, str]) -> list[Finding]:
    """The findings without any secret of the environment, and without credentials in addresses."""
    # The longest first: one secret may contain another.
    secrets = sorted(set(_secrets(environ)), key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        return CREDENTIALS.sub(HIDDEN, text)

    return [replace(finding, text=hide(finding.text), fix=hide(finding.fix)) for finding in findings]


def _secrets(environ: Mapping[str, str]) -> Iterable[str]:
    for name, setting in SETTINGS.items():
        value = environ.get(name, "")
        parts = [value] if setting.secret else []
        for address in value.split(","):
            # In a list of servers a name precedes each address.
            netloc = urlsplit(f"//{address.partition('://')[2]}").netloc
            if "@" in netloc:
                user, colon, password = netloc.rpartition("@")[0].partition(":")
                parts.append(password if colon else user)
        yield from (text for part in parts for text in (part, unquote(part)) if len(text) >= SHORTEST)
