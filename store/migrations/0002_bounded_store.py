"""Two codings and a source for every run, indexes for many runs, and what retention and rebuilding need to know.

Entries of schema version 1 go: nothing reads them any more. Their runs keep that version, so that the workers' sweep has
them rebuilt.
"""

from datetime import UTC, datetime

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

COMPRESSED = [("store_warmentry", "gzip"), ("store_warmentry", "zstd"), ("store_runsource", "body")]
BATCH = 1000


def keep_compressed_columns_as_they_are(apps, schema_editor):
    """PostgreSQL would try in vain to compress them once more."""
    if schema_editor.connection.vendor == "postgresql":
        for table, column in COMPRESSED:
            schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def fill_columns(apps, schema_editor):
    apps.get_model("store", "Run").objects.filter(warmed_at__isnull=False).update(schema_version=1)
    events = apps.get_model("store", "InboxEvent").objects
    batch = []
    for event in events.exclude(state="unreadable").only("pk", "attributes").iterator(BATCH):
        event.happened_at = datetime.fromisoformat(event.attributes["ce-time"]).astimezone(UTC)
        batch.append(event)
        if len(batch) == BATCH:
            events.bulk_update(batch, ["happened_at"])
            batch = []
    events.bulk_update(batch, ["happened_at"])


class Migration(migrations.Migration):
    dependencies = [("store", "0001_initial")]

    operations = [
        migrations.DeleteModel("WarmEntry"),
        migrations.CreateModel(
            name="WarmEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                ("resolution", models.CharField(max_length=16)),
                ("etag", models.CharField(max_length=32)),
                ("gzip", models.BinaryField(help_text="JSON")),
                ("zstd", models.BinaryField(help_text="the same JSON")),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="entries",
                        to="store.run",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=["run", "name", "resolution"], name="one_entry_per_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="RunSource",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="source",
                        serialize=False,
                        to="store.run",
                    ),
                ),
                ("body", models.BinaryField(help_text="workers/history/ndjson.py has the shape")),
            ],
        ),
        migrations.RunPython(keep_compressed_columns_as_they_are, migrations.RunPython.noop),
        migrations.RemoveIndex("run", name="store_run_announc_a45b01_idx"),
        migrations.AlterField(
            "run",
            "warmed_at",
            models.DateTimeField(help_text="Later with every warming of the run.", null=True),
        ),
        migrations.AddField(
            "run",
            "schema_version",
            models.PositiveSmallIntegerField(help_text="Of its warm entries; null: it has none.", null=True),
        ),
        migrations.AddField(
            "run",
            "rebuild_attempts",
            models.PositiveSmallIntegerField(default=0, help_text="Of entries of an older schema version."),
        ),
        migrations.AddField(
            "run",
            "rebuild_due_at",
            models.DateTimeField(help_text="When the run may be handed out again to be rebuilt.", null=True),
        ),
        migrations.AddField(
            "run",
            "rebuild_reason",
            models.TextField(blank=True, help_text="Why it is not rebuilt yet; for good if it is not due."),
        ),
        migrations.RemoveIndex("inboxevent", name="store_inbox_state_9ad7fa_idx"),
        migrations.AlterField("inboxevent", "run_id", models.CharField(blank=True, max_length=64)),
        migrations.AlterField(
            "inboxevent",
            "state",
            models.CharField(
                choices=[
                    ("pending", "waits for a worker"),
                    ("warming", "a worker is at it"),
                    ("done", "its run is warm; a reason says why it needed no fetch"),
                    ("failed", "given up; the reason says why"),
                    ("unreadable", "not a run event; kept with its reason"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            "inboxevent",
            "done_at",
            models.DateTimeField(help_text="When its run was first warm; null if nothing was fetched.", null=True),
        ),
        migrations.AddField(
            "inboxevent",
            "claims",
            models.PositiveIntegerField(default=0, help_text="How often it was taken; only the newest claim counts."),
        ),
        migrations.AddField(
            "inboxevent",
            "happened_at",
            models.DateTimeField(help_text="The event's own time; null for an unreadable one.", null=True),
        ),
        migrations.RunPython(fill_columns, migrations.RunPython.noop),
        migrations.AddIndex("run", models.Index(fields=["-announced_at", "-run_id"], name="run_newest")),
        migrations.AddIndex(
            "run",
            models.Index(fields=["experiment_name", "-announced_at", "-run_id"], name="run_newest_of_experiment"),
        ),
        migrations.AddIndex("run", models.Index(fields=["schema_version"], name="run_by_schema")),
        migrations.AddIndex(
            "run",
            models.Index(fields=["fetched_at"], condition=Q(schema_version__isnull=False), name="run_longest_kept"),
        ),
        migrations.AddIndex("inboxevent", models.Index(fields=["run_id", "received_at"], name="event_of_run")),
        migrations.AddIndex("inboxevent", models.Index(fields=["state", "received_at"], name="event_by_state")),
        migrations.AddIndex(
            "inboxevent",
            models.Index(
                fields=["due_at"], condition=Q(state__in=["pending", "warming"]), name="event_unfinished"
            ),
        ),
    ]
