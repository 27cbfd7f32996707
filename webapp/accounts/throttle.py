"""Sign-ins that fail are counted, by name and by address. In the database: without it nobody can sign in anyway."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from webapp.accounts.models import FailedSignIn

WINDOW = timedelta(minutes=15)
MOST_OF_BOTH = 5
"""So many failures of one name from one address within WINDOW."""
MOST_OF_NAME = MOST_OF_ADDRESS = 50
"""Of one name from anywhere; from one address, behind which there may be an office."""


def exhausted(name: str, address: str) -> bool:
    """Whether another attempt is refused without a look at the password. One query."""
    counts = _recent().aggregate(
        both=Count("pk", filter=Q(name=name, address=address)),
        name=Count("pk", filter=Q(name=name)),
        address=Count("pk", filter=Q(address=address)),
    )
    return bool(
        counts["both"] >= MOST_OF_BOTH or counts["name"] >= MOST_OF_NAME or counts["address"] >= MOST_OF_ADDRESS
    )


def failed(name: str, address: str) -> None:
    """Counts one more, and forgets those that count no longer."""
    FailedSignIn.objects.filter(at__lte=timezone.now() - WINDOW).delete()
    FailedSignIn.objects.create(name=name, address=address)


def succeeded(name: str, address: str) -> None:
    """Whoever knows the password has only mistyped it."""
    FailedSignIn.objects.filter(name=name, address=address).delete()


def address_of(request: HttpRequest) -> str:
    """Where the request comes from. Behind a proxy (WEBAPP_HTTPS) it is what that proxy has added last: all before it
    is what the client claims.
    """
    peer: str = request.META.get("REMOTE_ADDR", "")
    forwarded: str = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    return (forwarded.rpartition(",")[2].strip() or peer)[:45]


def _recent() -> QuerySet[FailedSignIn]:
    return FailedSignIn.objects.filter(at__gt=timezone.now() - WINDOW)
