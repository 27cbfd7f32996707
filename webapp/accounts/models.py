"""The audit log, and recent sign-ins that failed."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models


class AppendOnlyError(Exception):
    """Records of the audit log can't be changed or deleted."""


class AppendOnly(models.QuerySet["AuditRecord"]):
    def update(self, **_: Any) -> NoReturn:
        raise AppendOnlyError("the audit log is append-only")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("the audit log is append-only")


class AuditRecord(models.Model):
    """One action of a user. On PostgreSQL a trigger rejects changes, also by other programs."""

    at = models.DateTimeField(auto_now_add=True)
    who = models.CharField(max_length=150, help_text="The user's name; it outlives the account.")
    action = models.CharField(max_length=64)
    target = models.TextField()
    detail = models.TextField(blank=True)
    outcome = models.TextField(blank=True)

    objects = AppendOnly.as_manager()

    def __str__(self) -> str:
        return f"{self.who}: {self.action} {self.target}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError("the audit log is append-only")
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise AppendOnlyError("the audit log is append-only")


class FailedSignIn(models.Model):
    """Kept for ``throttle.WINDOW``."""

    name = models.CharField(max_length=150)
    address = models.CharField(max_length=45)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.name} from {self.address}"
