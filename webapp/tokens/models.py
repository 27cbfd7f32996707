"""One row per token. Only its hash is stored; for 256 random bits a plain hash is enough."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

PREFIX = "wb_"
"""Identifies our tokens to people, and to programs that scan for leaked secrets."""
HINT_LENGTH = 4
USE_NOTED_EVERY = timedelta(minutes=1)


class Token(models.Model):
    """A user's token. A revoked one is kept, so that its error can say so."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=HINT_LENGTH, help_text="How the token ends.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, help_text="Null: never.")
    used_at = models.DateTimeField(null=True, help_text="Not older than a minute before its last use.")
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} …{self.hint}"

    @classmethod
    def create(cls, user: models.Model, name: str, days: int | None) -> tuple[Self, str]:
        """Create a token: its row, and its text, which can't be shown again. It expires after ``days``; None: never."""
        text = PREFIX + secrets.token_urlsafe(32)
        expires_at = timezone.now() + timedelta(days=days) if days else None
        row = cls(user=user, name=name, digest=digest(text), hint=text[-HINT_LENGTH:], expires_at=expires_at)
        row.save()
        return row, text

    @classmethod
    def find(cls, text: str) -> Self | None:
        """The row of a token, valid or not; None if it is unknown. One query."""
        return cls.objects.select_related("user").filter(digest=digest(text)).first()

    def has_expired(self, now: datetime | None = None) -> bool:
        return self.expires_at is not None and self.expires_at <= (now or timezone.now())

    def revoke(self) -> None:
        self.revoked_at = timezone.now()
        # By save, not by an update, so that readers.py gets the signal.
        self.save(update_fields=["revoked_at"])

    def note_use(self) -> None:
        """Record the use, at most once a minute, also with concurrent requests."""
        now = timezone.now()
        if self.used_at is None or self.used_at <= now - USE_NOTED_EVERY:
            unnoted = Q(used_at=None) | Q(used_at__lte=now - USE_NOTED_EVERY)
            type(self).objects.filter(unnoted, pk=self.pk).update(used_at=now)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
