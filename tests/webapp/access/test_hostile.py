"""Whatever is asked, no page and no route fails. A part of the requests always; all 10,000 with ``HOSTILE=10000``."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

import webapp.urls
from tests.webapp.access.hostile import hostile
from tests.webapp.access.test_no_outgoing import addresses
from tests.webapp.frameworks import Framework
from tests.webapp.samples import Sample
from webapp.access import rate_limit

COUNT = int(os.environ.get("HOSTILE", "1500"))
REDIRECTS = {302, 304, 308}
EXPECTED = {200, 400, 401, 404, 405} | REDIRECTS


@pytest.mark.timeout(1200)
def test_no_request_makes_the_webapp_fail(
    reader: Client, anyone: Client, sample: Sample, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.RATE_LIMIT = 0
    rate_limit._limits.cache_clear()
    Sample("cold").announce("failed", "MLflow is down", quick_test=8)
    Framework("wide", logged="many", size=60).warm(quick_test=9)
    # Who may do everything gets furthest.
    User.objects.update(is_superuser=True)
    reader.raise_request_exception = anyone.raise_request_exception = False
    found: Counter[int] = Counter()
    failed = []
    session = reader.cookies["sessionid"].value
    known = list(addresses(webapp.urls.urlpatterns))  # type: ignore[arg-type]
    for number, request in enumerate(hostile(known, COUNT)):
        # A broken cookie makes the webapp delete the good one.
        reader.cookies["sessionid"] = session
        client = anyone if number % 10 == 0 else reader
        response = client.get(request.path, QUERY_STRING=request.query, **request.headers)  # type: ignore[arg-type]
        response.getvalue()
        found[response.status_code] += 1
        if response.status_code not in EXPECTED:
            failed.append((response.status_code, request))
    with capsys.disabled():
        print(f"\n{COUNT} hostile requests: {dict(sorted(found.items()))}")
    assert failed == []
    assert {200, 400, 401, 404} <= found.keys()
