"""The tables. Workers write them. The webapp reads them; its database role in a deployment may only read."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from warmboard.contract.entries import SCHEMA_VERSION
from warmboard.contract.events import RunEvent, RunStatus

ENDED = frozenset(status.value for status in (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED))
"""The values of ``Run.status`` for a run that has ended."""

LONGEST_KEY = 250
"""MLflow's max length of a parameter's or a metric's key."""
LONGEST_TEXT = 200
"""PostgreSQL's indexes take at most 2.7 kB per row."""


class Run(models.Model):
    """One MLflow run that an event has announced: the columns for lists and searches. Its charts are WarmEntry rows."""

    run_id = models.CharField(max_length=64, primary_key=True)
    tracking_server = models.CharField(max_length=64)
    experiment_name = models.CharField(max_length=500)
    name = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=16)
    start_time = models.DateTimeField(null=True)
    end_time = models.DateTimeField(null=True)
    newest_at = models.DateTimeField(null=True, help_text="The time of its newest value, if it can be right.")
    epochs = models.PositiveIntegerField(null=True)
    unit = models.CharField(
        max_length=8, default="epoch", db_default="epoch", help_text="What epochs counts: epoch, step or point."
    )
    pending_metrics = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How many metrics are still being fetched, after its first charts."
    )
    history_length = models.PositiveIntegerField(
        null=True, help_text="How many of them its history has; the metrics of its first chart may have more."
    )
    parent = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="The run that it is a nested run of, or empty."
    )
    params = models.JSONField(default=dict)
    final_metrics = models.JSONField(default=dict)
    sparkline = models.JSONField(default=list, help_text="A few values of the validation loss, in order.")
    announced_at = models.DateTimeField(help_text="The time of the newest event.")
    fetched_at = models.DateTimeField(null=True, help_text="When the fetch behind the warm entries began.")
    warmed_at = models.DateTimeField(null=True, help_text="Later with every warming of the run.")
    schema_version = models.PositiveSmallIntegerField(null=True, help_text="Of its warm entries; null: it has none.")
    rebuild_attempts = models.PositiveSmallIntegerField(default=0, help_text="Of entries of an older schema version.")
    rebuild_due_at = models.DateTimeField(null=True, help_text="When the run may be queued again to be rebuilt.")
    rebuild_reason = models.TextField(blank=True, help_text="Why it is not rebuilt yet; for good if it is not due.")
    digest = models.CharField(
        max_length=32,
        blank=True,
        db_default="",
        help_text="Of the run as MLflow described it at the last fetch (workers/history/digest.py).",
    )
    deleted_at = models.DateTimeField(
        null=True, help_text="When the sweep found it deleted in MLflow; null: it is not."
    )

    class Meta:
        indexes = [
            models.Index(fields=["-announced_at", "-run_id"], name="run_newest"),
            models.Index(fields=["experiment_name", "-announced_at", "-run_id"], name="run_newest_of_experiment"),
            models.Index(fields=["name", "run_id"], name="run_by_name"),
            models.Index(fields=["status", "announced_at", "run_id"], name="run_by_status"),
            models.Index(fields=["epochs", "announced_at", "run_id"], name="run_by_epochs"),
            models.Index(fields=["start_time", "run_id"], name="run_by_start"),
            models.Index(fields=["end_time", "run_id"], name="run_by_end"),
            models.Index(fields=["parent", "run_id"], name="run_by_parent"),
            models.Index(fields=["schema_version"], name="run_by_schema"),
            models.Index(fields=["run_id"], condition=Q(deleted_at__isnull=False), name="run_deleted"),
            models.Index(fields=["fetched_at"], condition=Q(schema_version__isnull=False), name="run_longest_kept"),
        ]

    def __str__(self) -> str:
        return self.name or self.run_id

    @property
    def is_warm(self) -> bool:
        """Whether it has entries of the current schema version."""
        return self.schema_version == SCHEMA_VERSION

    @property
    def is_outdated(self) -> bool:
        """Whether it has entries of another schema version only."""
        return self.schema_version not in (None, SCHEMA_VERSION)

    @property
    def has_expired(self) -> bool:
        """Whether its entries were dropped by retention."""
        return self.warmed_at is not None and self.schema_version is None


class RunParam(models.Model):
    """One item of ``Run.params``, indexed for searching and sorting. ``store/searched.py`` writes it."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="param_rows", db_index=False)
    key = models.CharField(max_length=LONGEST_KEY)
    text = models.CharField(max_length=LONGEST_TEXT, help_text="The beginning of the value: all that an index takes.")
    number = models.FloatField(null=True, help_text="The value, if it is a finite number.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_row_per_param")]
        indexes = [
            models.Index(fields=["key", "number", "run"], name="param_by_number"),
            models.Index(fields=["key", "text", "run"], name="param_by_text"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.key} {self.text}"


class RunTag(models.Model):
    """One of MLflow's tags, for searching. ``store/searched.py`` writes it. The tags that people give a run here are
    ``webapp.annotations.models.Tag``.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tag_rows", db_index=False)
    key = models.CharField(max_length=LONGEST_KEY)
    text = models.CharField(max_length=LONGEST_TEXT, help_text="The beginning of the value: all that an index takes.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_row_per_tag")]
        indexes = [models.Index(fields=["key", "text", "run"], name="run_tag_by_text")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.key} {self.text}"


class RunMetric(models.Model):
    """The numbers of one metric, from all its points, for showing, searching and sorting. ``store/searched.py`` writes
    it; the parts of histograms have none.

    ``last``, ``first``: null for NaN. ``min``, ``max``: of the finite values, null if there are none. ``count`` is null
    if an older version wrote the row, which then only knows ``last``.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metric_rows", db_index=False)
    key = models.CharField(max_length=LONGEST_KEY)
    last = models.FloatField(null=True, db_column="value")
    first = models.FloatField(null=True)
    min = models.FloatField(null=True)
    max = models.FloatField(null=True)
    count = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="one_row_per_metric")]
        indexes = [
            models.Index(fields=["key", "last", "run"], name="metric_by_value"),
            # On PostgreSQL it also has first and count: migration 0005_summaries.
            models.Index(fields=["key", "min", "run"], name="metric_by_min"),
            models.Index(fields=["key", "max", "run"], name="metric_by_max"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.key} {self.last}"


class QuickTest(models.Model):
    """One experiment of the product. It points to its newest MLflow run."""

    mlflow_run_id = models.CharField(max_length=64, blank=True, db_index=True)
    mlflow_experiment_name = models.CharField(max_length=500, blank=True)
    training_history_json = models.JSONField(null=True, help_text="The overview of the history, as the API gives it.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"quick-test-{self.pk}"


class WarmEntry(models.Model):
    """One response body. warmboard/contract/entries.py has its shape and its key; its schema version is its run's."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="entries", db_index=False)
    name = models.CharField(max_length=64)
    resolution = models.CharField(max_length=16)
    etag = models.CharField(max_length=32)
    gzip = models.BinaryField(help_text="JSON")
    zstd = models.BinaryField(help_text="the same JSON")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name", "resolution"], name="one_entry_per_key")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.name} {self.resolution}"


class RunSource(models.Model):
    """A run as it was fetched: the base of the next incremental fetch, and of rebuilds for a new schema version."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="source")
    body = models.BinaryField(help_text="workers/history/ndjson.py has the shape")

    def __str__(self) -> str:
        return self.run_id


class InboxEvent(models.Model):
    """One message from Pub/Sub, unchanged. Once its row is committed, the event can't be lost."""

    class State(models.TextChoices):
        PENDING = "pending", "waits for a worker"
        WARMING = "warming", "in progress"
        DONE = "done", "its run is warm; a reason says why it needed no fetch"
        FAILED = "failed", "given up; the reason says why"
        UNREADABLE = "unreadable", "not an event; kept with its reason"

    source = models.CharField(max_length=255)
    event_id = models.CharField(max_length=255)
    run_id = models.CharField(max_length=64, blank=True, help_text="Empty: it is not about one run.")
    type = models.CharField(max_length=64, blank=True)
    happened_at = models.DateTimeField(null=True, help_text="The event's own time; null for an unreadable one.")
    attributes = models.JSONField()
    data = models.BinaryField()
    published_at = models.DateTimeField(help_text="When Pub/Sub took the message.")
    received_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=16, choices=State)
    reason = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    claims = models.PositiveIntegerField(default=0, help_text="How often it was taken; only the newest claim counts.")
    claimed_by = models.CharField(max_length=255, blank=True, help_text="The Celery worker that took it.")
    claimed_at = models.DateTimeField(null=True, help_text="When that worker took it.")
    due_at = models.DateTimeField(
        null=True,
        help_text="From then on the sweep may queue the event again. Null if pending: it is held back.",
    )
    done_at = models.DateTimeField(null=True, help_text="When its run was first warm; null if nothing was fetched.")
    seek = models.BigIntegerField(null=True, help_text="The last seek that has reopened it: a row of Seek.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "event_id"], name="one_row_per_event")]
        indexes = [
            models.Index(fields=["run_id", "received_at"], name="event_of_run"),
            models.Index(fields=["state", "received_at"], name="event_by_state"),
            models.Index(fields=["due_at"], condition=Q(state__in=["pending", "warming"]), name="event_unfinished"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} {self.state}"

    def event(self) -> RunEvent:
        """Decode the event. Raises EventError if it is unreadable."""
        return RunEvent.decode(bytes(self.data), self.attributes)


class TrackingServerState(models.Model):
    """A tracking server that is down, or back with runs that still wait for it; one without a row is up. ``next_at`` of
    one that is down is when it may be asked, if it said so. ``workers/servers/gate.py`` writes it.
    """

    name = models.CharField(max_length=64, primary_key=True)
    down_since = models.DateTimeField(null=True, help_text="Null: it answers again, and its runs are let through.")
    reason = models.TextField(help_text="What its last answer was, or why there was none.")
    asked_at = models.DateTimeField(null=True, help_text="When beat last asked whether it is back.")
    next_at = models.DateTimeField(null=True, help_text="When it is back: when its next run may be fetched.")

    def __str__(self) -> str:
        return f"{self.name} {'down' if self.down_since else 'back'}"


class Backfill(models.Model):
    """A tracking server's runs that had ended before anyone announced them, as beat last listed them.
    ``workers/discover/backfill.py`` writes it, for pages.
    """

    name = models.CharField(max_length=64, primary_key=True, help_text="The server's.")
    found = models.PositiveIntegerField(help_text="The number of its runs that had ended.")
    experiments = models.PositiveIntegerField(help_text="The number of experiments that these are of.")
    to_warm = models.PositiveIntegerField(help_text="The number of those that were not fetched yet.")
    done = models.PositiveIntegerField(help_text="Of these, those that are warm by now, or have failed.")
    listed_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, help_text="When all were done; null until then.")

    def __str__(self) -> str:
        return f"{self.name}: {self.done:,} of {self.to_warm:,}"


class Seek(models.Model):
    """A seek of the workers' subscription. It reopens a settled event once, if Pub/Sub delivers it again after it."""

    request_id = models.CharField(max_length=255, unique=True, help_text="The event ID of the request.")
    at = models.DateTimeField(help_text="When it was performed.")
    since = models.DateTimeField(null=True, help_text="Messages from then on come again; null: those of a snapshot.")

    def __str__(self) -> str:
        return self.request_id


class Snapshot(models.Model):
    """A snapshot of the workers' subscription, as Pub/Sub last listed it, for programs that can't ask Pub/Sub."""

    name = models.CharField(max_length=255, primary_key=True)
    oldest_at = models.DateTimeField(help_text="About the publish time of its oldest message.")
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
