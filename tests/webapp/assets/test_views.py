"""A page of another version of the webapp gets the files that this version has."""

from __future__ import annotations

import gzip
import mimetypes
import re

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.test import Client

from webapp.assets.storage import SCRIPTS, STYLES

OTHER = "0123456789ab"
ENTRIES = [*(f"webapp/{page}.js" for page in SCRIPTS), *(f"webapp/{page}.css" for page in STYLES), "webapp/icon.svg"]


def of_another_version(name: str) -> str:
    return "/static/" + re.sub(r"\.(\w+)$", rf".{OTHER}.\1", name)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_file_of_another_version_is_that_of_this_one(client: Client, name: str) -> None:
    ours = client.get(staticfiles_storage.url(name))
    other = client.get(of_another_version(name))
    assert (ours.status_code, other.status_code) == (200, 200)
    assert other.content == b"".join(ours) != b""
    assert other["Content-Type"].partition(";")[0] == mimetypes.guess_type(name)[0]
    assert other["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in ours["Cache-Control"]
    assert "no-store" in other["Cache-Control"]
    assert "immutable" not in other["Cache-Control"]


def test_it_is_compressed(client: Client) -> None:
    answer = client.get(of_another_version("webapp/run.js"), headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.content) == client.get(of_another_version("webapp/run.js")).content


@pytest.mark.parametrize(
    "name",
    [
        "webapp/run.js",
        "webapp/nothing.0123456789ab.js",
        "webapp/run.0123456789.js",
        "webapp/run.0123456789AB.js",
        "webapp/../webapp/run.0123456789ab.js",
        "../settings.0123456789ab.py",
        "staticfiles.0123456789ab.json",
        "webapp/run/body.0123456789ab.js",
        ".0123456789ab.js",
        "\0.0123456789ab.js",
        "0123456789ab",
        "",
    ],
)
def test_anything_else_does_not_exist(client: Client, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_nothing_is_written_there(client: Client) -> None:
    assert client.post(of_another_version("webapp/run.js")).status_code == 405
