"""One row for each restricted experiment."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models


class Restriction(models.Model):
    """Restricts the experiment of this name, on all tracking servers, to members of these groups and administrators.
    Without any group left, only administrators see it.
    """

    experiment_name = models.CharField(max_length=500, unique=True)
    groups = models.ManyToManyField(Group, related_name="+")

    def __str__(self) -> str:
        return self.experiment_name
