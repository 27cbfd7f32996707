"""Parsers of settings' values. One raises ValueError with the end of a sentence, such as "is not HOST:PORT"."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d+", text) or not low <= int(text) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(text)

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"is not one of {', '.join(allowed)}")
        return text

    return parse


def boolean(text: str) -> bool:
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError("is neither true nor false") from None


def address(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if urlsplit(text).scheme not in schemes:
            raise ValueError(f"does not start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text.rstrip("/")

    return parse


def host_and_port(text: str) -> str | None:
    if not text:
        return None
    if not re.fullmatch(r"[^/:]+:\d+", text):
        raise ValueError("is not HOST:PORT")
    return text


def folder(text: str) -> str:
    if "://" in text and not text.startswith(("gs://", "file://")):
        raise ValueError("is neither gs://BUCKET/PATH nor a folder")
    return text


def local_path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"is not a folder: {error}") from None


def existing_file(text: str) -> str | None:
    if not text:
        return None
    if not local_path(text).is_file():
        raise ValueError("is not a file")
    return str(local_path(text))


def optional(text: str) -> str | None:
    return text or None


def name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._~+%-]*", text):
        raise ValueError("is not a name of letters, digits, and . _ ~ + % -")
    return text


def token(text: str) -> str | None:
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("contains spaces or other characters that are not allowed in a token")
    return text or None


def names(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def without_credentials(address: str) -> str:
    """Return the address without the user name and password that it may contain, for messages and logs."""
    # The first pattern is for an address without a scheme.
    return re.sub(r"^[^/,]*@", "", re.sub(r"//[^,]*@", "//", address))


def servers(text: str) -> dict[str, str]:
    return _named(text, server_address)


def databases(text: str) -> dict[str, str]:
    return _named(text, _database_address)


def _named(text: str, parse: Callable[[str], str]) -> dict[str, str]:
    addresses = {}
    for item in names(text):
        label, equals, uri = item.partition("=")
        if not equals:
            raise ValueError(f"contains {without_credentials(item)!r}, which is not NAME=ADDRESS")
        addresses[name(label)] = parse(uri)
    return addresses


def _database_address(text: str) -> str:
    """An address as MLflow takes it for its backend store, without the name of a driver."""
    scheme, separator, rest = text.partition("://")
    dialect = {"postgres": "postgresql"}.get(scheme.partition("+")[0], scheme.partition("+")[0])
    if not separator or dialect not in ("postgresql", "sqlite"):
        raise ValueError(
            f"contains {without_credentials(text)!r}, which starts neither with postgresql:// nor sqlite:///"
        )
    if dialect == "sqlite" and not rest.startswith("/"):
        raise ValueError(f"contains {text!r}, which is not sqlite:////FILE")
    return f"{dialect}://{rest}"


def ui_addresses(text: str) -> dict[str, str]:
    addresses = servers(text)
    for label, uri in addresses.items():
        if "@" in urlsplit(uri).netloc:
            raise ValueError(f"has credentials for {label}, which pages would show")
    return addresses


def server_address(text: str) -> str:
    uri = address("http", "https")(text)
    parts = urlsplit(uri)
    if re.search(r"[\s,]", uri):
        raise ValueError("contains a space or a comma; write %20 or %2C")
    if not parts.hostname or "@" in parts.path:
        raise ValueError("is not an address; in a name, password or token write % / @ : , as %25 %2F %40 %3A %2C")
    return uri


def redis_address(text: str) -> str:
    """An address whose certificate, if it has one, is verified."""
    url = address("redis", "rediss", "unix")(text)
    options = dict(parse_qsl(urlsplit(url).query))
    for name, verified in (("ssl_cert_reqs", ("required", "CERT_REQUIRED")), ("ssl_check_hostname", ("true", "True"))):
        if options.get(name, verified[0]) not in verified:
            raise ValueError(f"has {name}={options[name]}: certificates are always verified; leave it out")
    return url


def secret(text: str) -> str:
    if len(text) < 32:
        raise ValueError("is shorter than 32 characters")
    return text
