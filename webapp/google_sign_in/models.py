"""Which account belongs to which Google user."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models


class GoogleAccount(models.Model):
    """A link between accounts. ``subject`` is Google's ID of the user, which never changes and is never reused."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="google_account")
    subject = models.CharField(max_length=255, unique=True)

    def __str__(self) -> str:
        return f"{self.user} at Google"
