"""Stored bodies on the wire: handed out as they are, compressed or not, and not at all when the reader has them."""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags

from contract.entries import Entry

REFUSED = re.compile(r"q=0(\.0{0,3})?")


def entry_response(request: HttpRequest, entry: Entry) -> HttpResponseBase:
    """The entry as JSON: 200, or 304 when ``If-None-Match`` names this very representation.

    Each representation has a strong ETag of its own, as RFC 9110 asks: gzip and identity differ in bytes.
    """
    gzipped = accepts_gzip(request.headers.get("Accept-Encoding", ""))
    etag = f'"{entry.etag}-gz"' if gzipped else f'"{entry.etag}"'
    response = HttpResponse(status=304) if _has(request, etag) else HttpResponse(content_type="application/json")
    if response.status_code == 304:
        del response["Content-Type"]
    else:
        response.content = entry.body if gzipped else entry.text()
        response["Content-Length"] = str(len(response.content))
        if gzipped:
            response["Content-Encoding"] = "gzip"
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["Accept-Encoding"])
    return response


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the header allows gzip, by name or by ``*``; a weight of 0 refuses."""
    weights = {}
    for item in accept_encoding.lower().split(","):
        coding, _, weight = (part.strip() for part in item.partition(";"))
        weights[coding] = not REFUSED.fullmatch(weight.replace(" ", ""))
    return weights.get("gzip", weights.get("*", False))


def _has(request: HttpRequest, etag: str) -> bool:
    known = [tag.removeprefix("W/") for tag in parse_etags(request.headers.get("If-None-Match", ""))]
    return etag in known or "*" in known
