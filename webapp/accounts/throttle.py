"""Rate limit of failed sign-ins, by name and by address. Counts are in the database, which signing in needs anyway."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from webapp.accounts.models import FailedSignIn

WINDOW = timedelta(minutes=15)
MOST_OF_BOTH = 5
"""Max failures of one name from one address within WINDOW."""
MOST_OF_NAME = MOST_OF_ADDRESS = 50
"""Max failures of one name from all addresses, and of one address, which a whole office may share."""


def exhausted(name: str, address: str) -> bool:
    """Whether the limit is reached, so that no password is checked. One query."""
    counts = _recent().aggregate(
        both=Count("pk", filter=Q(name=name, address=address)),
        name=Count("pk", filter=Q(name=name)),
        address=Count("pk", filter=Q(address=address)),
    )
    return bool(
        counts["both"] >= MOST_OF_BOTH or counts["name"] >= MOST_OF_NAME or counts["address"] >= MOST_OF_ADDRESS
    )


def failed(name: str, address: str) -> None:
    """Count one more failure, and delete those older than WINDOW."""
    FailedSignIn.objects.filter(at__lte=timezone.now() - WINDOW).delete()
    FailedSignIn.objects.create(name=name, address=address)


def succeeded(name: str, address: str) -> None:
    """Delete the failures of this name and address: the user mistyped the password."""
    FailedSignIn.objects.filter(name=name, address=address).delete()


def address_of(request: HttpRequest) -> str:
    """The client's address: that of the connection or, behind WEBAPP_TRUSTED_PROXIES proxies, the one that the
    outermost of them saw. Each adds one to the end of X-Forwarded-For; what is before those is sent by the client.
    """
    peer: str = request.META.get("REMOTE_ADDR", "")
    if not settings.TRUSTED_PROXIES:
        return peer
    seen = [address.strip() for address in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    # With fewer entries than proxies the request did not come through all of them.
    return (seen[-settings.TRUSTED_PROXIES][:45] if len(seen) >= settings.TRUSTED_PROXIES else "") or peer


def _recent() -> QuerySet[FailedSignIn]:
    return FailedSignIn.objects.filter(at__gt=timezone.now() - WINDOW)
