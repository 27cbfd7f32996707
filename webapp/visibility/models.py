"""One row for an experiment that is not for everybody."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models


class Restriction(models.Model):
    """The experiment of this name, on whichever tracking server, is for members of these groups and for administrators.
    A group that is deleted lets nobody in any more.
    """

    experiment_name = models.CharField(max_length=500, unique=True)
    groups = models.ManyToManyField(Group, related_name="+")

    def __str__(self) -> str:
        return self.experiment_name
