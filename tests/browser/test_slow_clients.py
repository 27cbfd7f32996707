"""Sixteen slow connections of every kind, to the real server: its pages answer all the same.

``make bench-web`` has the times. Here every wait is long: without what webapp/serving does, there is no answer at all.
"""

from __future__ import annotations

from contextlib import ExitStack
from urllib.parse import urlsplit

import requests

from tests.browser.conftest import Site
from tests.slow_clients import Client, silent, slow_body, slow_clients, slow_headers, slow_reader
from tests.waiting import PATIENCE

EACH = 16
RUN = "/api/runs/slowly/"


def test_pages_answer_beside_slow_clients(site: Site) -> None:
    site.seed("warm", run_id="slowly", epochs=500)
    kinds: list[Client] = [
        silent,
        slow_headers,
        slow_body("/sign-in/"),
        slow_body("/annotate/pin/"),
        slow_reader(f"{RUN}training-history/?resolution=full"),
        slow_reader(f"{RUN}export.csv"),
    ]
    with ExitStack() as attack:
        for kind in kinds:
            attack.enter_context(slow_clients(urlsplit(site.address).port or 0, kind, EACH))
        for path in ["/", "/runs/abc123def456/", "/healthz", "/readyz", "/sign-in/"]:
            assert requests.get(site.address + path, timeout=PATIENCE).status_code == 200, path


def test_the_server_refuses_what_it_need_not_read(site: Site) -> None:
    long = requests.post(f"{site.address}/sign-in/", data=b"x" * 20_000, timeout=PATIENCE)
    assert (long.status_code, long.headers["Connection"]) == (413, "close")
    assert "longer than 16384 bytes" in long.json()["error"]


def test_headers_with_underscores_never_reach_django(site: Site) -> None:
    plain = {"X_Forwarded_For": "192.0.2.1"}
    dashed = {"X-Forwarded-For": "192.0.2.1"}
    address = f"{site.address}{RUN}about/"
    # Requests through a proxy are not from this machine, so they need an account.
    assert requests.get(address, headers=plain, timeout=PATIENCE).status_code == 200
    assert requests.get(address, headers=dashed, timeout=PATIENCE).status_code == 401
