"""Whose account here is whose at Google."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models


class GoogleAccount(models.Model):
    """``subject`` is Google's own number for a person. It outlives their address, and no other person ever has it."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="google_account")
    subject = models.CharField(max_length=255, unique=True)

    def __str__(self) -> str:
        return f"{self.user} at Google"
