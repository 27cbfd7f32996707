"""The clock by which leases and fetches are ordered: the database's, which all processes share."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.utils import timezone


def now() -> datetime:
    """The database's time, in UTC. The clocks of two machines that run workers may differ."""
    if connection.vendor != "postgresql":
        # SQLite has no clock of its own, and its processes share a machine.
        return timezone.now()
    with connection.cursor() as cursor:
        # Not that of the transaction's begin, as now() gives it.
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
        return found
