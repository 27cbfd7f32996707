"""HTTP responses of stored bodies: sent as they are, in an accepted content coding, or 304 if the client has them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import zstandard
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags

from store import warm
from warmboard.contract.entries import Encoding, EntryKey

COMPRESSION = 1
"""Compression level of bodies made for one request. Higher levels save little and take several times as long."""
HEADERS_REMEMBERED = 512
"""Values of Accept-Encoding that are cached. Browsers send few different ones."""


@dataclass(frozen=True)
class Coding:
    """A content coding. ``stored`` is the coding read from the store, ``name`` the one sent (empty: not compressed);
    ``suffix`` ends the ETags of these representations.
    """

    stored: Encoding
    name: str
    suffix: str


ZSTD = Coding(Encoding.ZSTD, "zstd", "-zstd")
GZIP = Coding(Encoding.GZIP, "gzip", "-gz")
IDENTITY = Coding(Encoding.GZIP, "", "")


@lru_cache(HEADERS_REMEMBERED)
def codings_of(accept_encoding: str) -> tuple[Coding, ...]:
    """The codings that the header allows, best first: zstd if its weight is at least gzip's, gzip, and always identity.

    A weight of 0 excludes a coding, and so does an invalid one. ``*`` stands for gzip if that is not named, never for
    zstd: many programs that send it can't read zstd.
    """
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        coding, _, parameter = item.partition(";")
        weights[coding.strip()] = _weight(parameter)
    allowed = [(weights.get("zstd", 0.0), ZSTD), (weights.get("gzip", weights.get("*", 0.0)), GZIP)]
    # Sorting is stable: zstd stays first if the weights are equal.
    ranked = sorted((item for item in allowed if item[0] > 0), key=lambda item: -item[0])
    return (*(coding for _, coding in ranked), IDENTITY)


def warm_response(request: HttpRequest, key: EntryKey) -> HttpResponse | None:
    """The entry as JSON: 200, or 304 if ``If-None-Match`` names one of the representations that the client accepts.
    None if the entry is not warm.

    Each representation has its own strong ETag (RFC 9110), since they differ in bytes.
    """
    codings = codings_of(request.META.get("HTTP_ACCEPT_ENCODING", ""))
    body = warm.get(key, codings[0].stored)
    if body is None:
        return None
    if answer := unchanged(request, body.etag, codings):
        return answer
    data = body.data if codings[0].name else gzip.decompress(body.data)
    return whole(data, body.etag, codings[0])


def unchanged(request: HttpRequest, etag: str, codings: Iterable[Coding]) -> HttpResponse | None:
    """304 if ``If-None-Match`` names this ETag (of the JSON, unquoted) in one of the codings; otherwise None."""
    if header := request.META.get("HTTP_IF_NONE_MATCH"):
        known = _tags(header)
        for coding in codings:
            if (tag := _tag(etag, coding)) in known or "*" in known:
                response = HttpResponse(status=304)
                del response.headers["Content-Type"]
                return _for_caches(response, tag)
    return None


def whole(data: bytes, etag: str, coding: Coding) -> HttpResponse:
    """A 200 response of JSON that has this coding already; ``etag`` is of the JSON, unquoted."""
    response = HttpResponse(data, content_type="application/json")
    headers = response.headers
    headers["Content-Length"] = str(len(data))
    if coding.name:
        headers["Content-Encoding"] = coding.name
    return _for_caches(response, _tag(etag, coding))


def packed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Compress the response with the best coding that the request accepts."""
    coding = codings_of(request.META.get("HTTP_ACCEPT_ENCODING", ""))[0]
    patch_vary_headers(response, ["Accept-Encoding"])
    if coding is ZSTD:
        response.content = zstandard.ZstdCompressor(level=COMPRESSION).compress(response.content)
    elif coding is GZIP:
        response.content = gzip.compress(response.content, COMPRESSION)
    if coding.name:
        response.headers["Content-Encoding"] = coding.name
    response.headers["Content-Length"] = str(len(response.content))
    return response


def _for_caches(response: HttpResponse, etag: str) -> HttpResponse:
    """Let only the user's browser cache the response, and revalidate it each time."""
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Accept-Encoding, Cookie"
    return response


def _tag(etag: str, coding: Coding) -> str:
    return f'"{etag}{coding.suffix}"'


def _tags(if_none_match: str) -> list[str]:
    """The ETags in the header, weak or strong, or ``*``."""
    return [tag.removeprefix("W/") for tag in parse_etags(if_none_match)]


def _weight(parameter: str) -> float:
    name, _, value = parameter.replace(" ", "").partition("=")
    if not name:
        return 1.0
    try:
        weight = float(value) if name == "q" else 0.0
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
