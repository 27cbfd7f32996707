"""Health checks, open to all: whether the process is alive, and whether its database and Redis answer."""

from __future__ import annotations

from contextlib import nullcontext

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from store.connection import connect

SECONDS = 2.0
"""Time within which the database must answer a check."""


@login_not_required
@require_safe
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@login_not_required
@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """Whether requests should come here: 503 if the database is down, without which nothing works.

    Without Redis everything works, slower: 200 with the status ``degraded``. ``away`` has the names of what is down.
    """
    down = [name for name, answers in (("database", database_answers), ("redis", redis_answers)) if not answers()]
    if "database" in down:
        return JsonResponse({"status": "unavailable", "away": down}, status=503)
    return JsonResponse({"status": "degraded", "away": down} if down else {"status": "ok"})


def database_answers() -> bool:
    try:
        with _bounded(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def redis_answers() -> bool:
    # Its own connection: a check must not wait for the pool.
    client = connect(settings.REDIS_URL, seconds=0.5)
    try:
        client.ping()
    except redis.RedisError:
        return False
    finally:
        client.close()
    return True


def _bounded() -> nullcontext[None]:
    if connection.vendor != "postgresql":
        return nullcontext()
    from store.postgres.base import within

    return within(SECONDS)  # type: ignore[return-value]
