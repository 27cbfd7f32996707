"""One row for each annotated run, and its tags."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from store.models import Run

LONGEST_NOTE = 10_000
LONGEST_NAME, LONGEST_VALUE = 100, 200


class Annotation(models.Model):
    """A run's annotation, shared by all readers. The list hides archived runs and shows pinned ones first."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="annotation")
    note = models.TextField(blank=True)
    pinned = models.BooleanField(default=False)
    archived = models.BooleanField(default=False)
    changed_by = models.CharField(max_length=150, help_text="The user's name: it outlives the account.")
    changed_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["run"], condition=Q(pinned=True), name="annotation_pinned"),
            models.Index(fields=["run"], condition=Q(archived=True), name="annotation_archived"),
        ]

    def __str__(self) -> str:
        return f"annotation of {self.run_id}"


class Tag(models.Model):
    """``name=value``, or a plain label, whose value is empty."""

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="tags", db_index=False)
    name = models.CharField(max_length=LONGEST_NAME)
    value = models.CharField(max_length=LONGEST_VALUE, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["annotation", "name"], name="one_tag_per_name")]
        indexes = [models.Index(fields=["name", "value", "annotation"], name="tag_by_value")]

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.value else self.name
