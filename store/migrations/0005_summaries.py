"""The numbers of every metric as rows, and the word for a run's steps.

A metric's row keeps the column ``value``, now under the name ``last``, so that programs of the version before still
read and write it during an upgrade. The other columns are empty until a run is rebuilt.

No index orders ``first`` and ``count``. On PostgreSQL one has them beside its own columns, so that a list by them reads
a part of that index, and not the whole table.
"""

from django.db import migrations, models


def index_min(apps, schema_editor):
    beside = " INCLUDE (first, count)" if schema_editor.connection.vendor == "postgresql" else ""
    schema_editor.execute(f"CREATE INDEX metric_by_min ON store_runmetric (key, min, run_id){beside}")


def forget_min(apps, schema_editor):
    schema_editor.execute("DROP INDEX metric_by_min")


class Migration(migrations.Migration):
    dependencies = [("store", "0004_searched")]

    operations = [
        migrations.AlterField("runmetric", "value", models.FloatField(null=True)),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex("runmetric", "metric_by_value"),
                migrations.RenameField("runmetric", "value", "last"),
                migrations.AlterField("runmetric", "last", models.FloatField(db_column="value", null=True)),
                migrations.AddIndex("runmetric", models.Index(fields=["key", "last", "run"], name="metric_by_value")),
            ]
        ),
        *(migrations.AddField("runmetric", name, models.FloatField(null=True)) for name in ("first", "min", "max")),
        migrations.AddField("runmetric", "count", models.PositiveIntegerField(null=True)),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddIndex("runmetric", models.Index(fields=["key", "min", "run"], name="metric_by_min"))
            ],
            database_operations=[migrations.RunPython(index_min, forget_min)],
        ),
        migrations.AddIndex("runmetric", models.Index(fields=["key", "max", "run"], name="metric_by_max")),
        migrations.AddField(
            "run",
            "unit",
            models.CharField(
                db_default="epoch", default="epoch", help_text="What epochs counts: epoch or step.", max_length=8
            ),
        ),
        migrations.AlterField(
            "run",
            "rebuild_due_at",
            models.DateTimeField(help_text="When the run may be queued again to be rebuilt.", null=True),
        ),
        migrations.AlterField(
            "inboxevent",
            "claimed_by",
            models.CharField(blank=True, help_text="The Celery worker that took it.", max_length=255),
        ),
        migrations.AlterField(
            "inboxevent",
            "due_at",
            models.DateTimeField(help_text="From then on the sweep may queue the event again.", null=True),
        ),
        migrations.AlterField(
            "inboxevent",
            "state",
            models.CharField(
                choices=[
                    ("pending", "waits for a worker"),
                    ("warming", "in progress"),
                    ("done", "its run is warm; a reason says why it needed no fetch"),
                    ("failed", "given up; the reason says why"),
                    ("unreadable", "not an event; kept with its reason"),
                ],
                max_length=16,
            ),
        ),
    ]
