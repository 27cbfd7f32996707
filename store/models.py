"""The tables. Workers write them; the webapp reads them, and in deployment its database role can do no more."""

from __future__ import annotations

from django.db import models

from contract.events import RunEvent


class Run(models.Model):
    """One MLflow run that an event has announced: what lists and searches need. Its charts are its warm entries."""

    run_id = models.CharField(max_length=64, primary_key=True)
    tracking_server = models.CharField(max_length=64)
    experiment_name = models.CharField(max_length=500)
    name = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=16)
    start_time = models.DateTimeField(null=True)
    end_time = models.DateTimeField(null=True)
    epochs = models.PositiveIntegerField(null=True)
    params = models.JSONField(default=dict)
    final_metrics = models.JSONField(default=dict)
    sparkline = models.JSONField(default=list, help_text="A few values of the validation loss, in order.")
    announced_at = models.DateTimeField(help_text="The time of the newest event.")
    fetched_at = models.DateTimeField(null=True, help_text="When the fetch behind the warm entries began.")
    warmed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["-announced_at"])]

    def __str__(self) -> str:
        return self.name or self.run_id


class QuickTest(models.Model):
    """One experiment of the product; it points at one MLflow run, its newest."""

    mlflow_run_id = models.CharField(max_length=64, blank=True, db_index=True)
    mlflow_experiment_name = models.CharField(max_length=500, blank=True)
    training_history_json = models.JSONField(null=True, help_text="The overview of the history, as the API gives it.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"quick-test-{self.pk}"


class WarmEntry(models.Model):
    """One finished body; contract/entries.py has the shapes and the keys."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="entries")
    name = models.CharField(max_length=64)
    resolution = models.CharField(max_length=16)
    schema_version = models.PositiveSmallIntegerField()
    etag = models.CharField(max_length=32)
    body = models.BinaryField(help_text="gzipped JSON")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "name", "resolution", "schema_version"], name="one_entry_per_key")
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.name} {self.resolution}"


class InboxEvent(models.Model):
    """One message from Pub/Sub, as it came. Once a row is committed the event can no longer be lost."""

    class State(models.TextChoices):
        PENDING = "pending", "waits for a worker"
        WARMING = "warming", "a worker is at it"
        DONE = "done", "its run is warm"
        FAILED = "failed", "given up; the reason says why"
        UNREADABLE = "unreadable", "not a run event; kept with its reason"

    source = models.CharField(max_length=255)
    event_id = models.CharField(max_length=255)
    run_id = models.CharField(max_length=64, blank=True, db_index=True)
    type = models.CharField(max_length=64, blank=True)
    attributes = models.JSONField()
    data = models.BinaryField()
    published_at = models.DateTimeField(help_text="When Pub/Sub took the message.")
    received_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=16, choices=State)
    reason = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    claimed_by = models.CharField(max_length=255, blank=True, help_text="The Celery worker that is or was at it.")
    due_at = models.DateTimeField(null=True, help_text="From then on the sweep may hand the event out again.")
    done_at = models.DateTimeField(null=True, help_text="When its run was first warm.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "event_id"], name="one_row_per_event")]
        indexes = [models.Index(fields=["state", "due_at"])]

    def __str__(self) -> str:
        return f"{self.event_id} {self.state}"

    def event(self) -> RunEvent:
        """The event that the row keeps. Raises EventError for an unreadable one."""
        return RunEvent.decode(bytes(self.data), self.attributes)
