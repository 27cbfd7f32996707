"""The audit log: who did what to which target, and the outcome."""

from __future__ import annotations

from django.http import HttpRequest

from webapp.accounts.models import AuditRecord

COMMAND_LINE = "command line"
"""The user in records of commands, which anyone with a shell on the machine can run."""


def record(request: HttpRequest, action: str, target: str, detail: str = "", outcome: str = "done") -> AuditRecord:
    """Record what the signed-in user of the request has just done."""
    who = request.user.get_username()
    return AuditRecord.objects.create(who=who, action=action, target=target, detail=detail, outcome=outcome)


def note(action: str, target: str, detail: str, by: str = COMMAND_LINE) -> AuditRecord:
    """Record an action that no signed-in user's request has caused."""
    return AuditRecord.objects.create(who=by, action=action, target=target, detail=detail, outcome="done")


def newest(most: int, of: str | None = None, before: int | None = None) -> list[AuditRecord]:
    """The newest records, of all users or of one; with ``before``, only those older than that record. One query."""
    records = AuditRecord.objects.filter(who=of) if of is not None else AuditRecord.objects.all()
    older = records.filter(pk__lt=before) if before is not None else records
    return list(older.order_by("-pk")[:most])
