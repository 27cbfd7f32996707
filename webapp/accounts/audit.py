"""The audit log: who did what, to what, and what came of it."""

from __future__ import annotations

from django.http import HttpRequest

from webapp.accounts.models import AuditRecord

COMMAND_LINE = "command line"
"""Who did what a command does: somebody who may run it."""


def record(request: HttpRequest, action: str, target: str, detail: str = "", outcome: str = "done") -> AuditRecord:
    """Writes down what the signed-in user of the request has just done."""
    who = request.user.get_username()
    return AuditRecord.objects.create(who=who, action=action, target=target, detail=detail, outcome=outcome)


def note(action: str, target: str, detail: str, by: str = COMMAND_LINE) -> AuditRecord:
    """Writes down what has just been done without a request of somebody who has signed in."""
    return AuditRecord.objects.create(who=by, action=action, target=target, detail=detail, outcome="done")


def newest(most: int, of: str | None = None, before: int | None = None) -> list[AuditRecord]:
    """Those of everybody, or of the user of this name; of those older than the record ``before``. One query."""
    records = AuditRecord.objects.filter(who=of) if of is not None else AuditRecord.objects.all()
    older = records.filter(pk__lt=before) if before is not None else records
    return list(older.order_by("-pk")[:most])
