"""The audit log: who did what, to what, and what came of it."""

from __future__ import annotations

from django.http import HttpRequest

from webapp.accounts.models import AuditRecord


def record(request: HttpRequest, action: str, target: str, detail: str = "", outcome: str = "done") -> AuditRecord:
    """Writes down what the signed-in user of the request has just done."""
    who = request.user.get_username()
    return AuditRecord.objects.create(who=who, action=action, target=target, detail=detail, outcome=outcome)


def newest(most: int) -> list[AuditRecord]:
    """One query."""
    return list(AuditRecord.objects.order_by("-pk")[:most])
