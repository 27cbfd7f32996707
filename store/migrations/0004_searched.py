"""What lists search and sort: indexes of runs, and their parameters and final metrics as rows, filled from what is there.

On PostgreSQL free text is found by trigrams, where the extension pg_trgm is there or may be created. Where it may not, a
search for a rare word reads the table of runs; an administrator's CREATE EXTENSION pg_trgm and WORDS below mend that.
"""

import django.db.models.deletion
from django.db import migrations, models

from store import searched
from store.models import LONGEST_KEY

BATCH = 500
MAY_CREATE = """
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')
    OR EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')
        AND (current_setting('is_superuser') = 'on' OR has_database_privilege(current_database(), 'CREATE'))
"""
WORDS = """
CREATE INDEX run_words ON store_run
USING gin (upper(name::text) gin_trgm_ops, upper(experiment_name::text) gin_trgm_ops)
"""


def fill(apps, schema_editor):
    run_param, run_metric = apps.get_model("store", "RunParam"), apps.get_model("store", "RunMetric")
    runs = apps.get_model("store", "Run").objects.filter(warmed_at__isnull=False).only("params", "final_metrics")
    batch = []
    for run in runs.iterator(BATCH):
        batch.append(run)
        if len(batch) == BATCH:
            _write(run_param, run_metric, batch)
            batch = []
    _write(run_param, run_metric, batch)


def index_words(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(MAY_CREATE)
        if not cursor.fetchone()[0]:
            print("\n  pg_trgm may not be created here: searches for words read the table of runs.", end="")
            return
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        cursor.execute(WORDS)


def forget_words(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS run_words")


def _write(run_param, run_metric, runs):
    run_param.objects.bulk_create(run_param(run=run, **row) for run in runs for row in searched.param_rows(run.params))
    run_metric.objects.bulk_create(
        run_metric(run=run, key=key, value=value)
        for run in runs
        for key, value in run.final_metrics.items()
        if value is not None and len(key) <= LONGEST_KEY
    )


class Migration(migrations.Migration):
    dependencies = [("store", "0003_claimed_at")]

    operations = [
        migrations.CreateModel(
            name="RunParam",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=250)),
                (
                    "text",
                    models.CharField(
                        help_text="The beginning of the value: all that an index takes.", max_length=200
                    ),
                ),
                ("number", models.FloatField(help_text="The value, if it is a finite number.", null=True)),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="param_rows",
                        to="store.run",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RunMetric",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=250)),
                ("value", models.FloatField()),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="metric_rows",
                        to="store.run",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            "runparam", models.UniqueConstraint(fields=["run", "key"], name="one_row_per_param")
        ),
        migrations.AddConstraint(
            "runmetric", models.UniqueConstraint(fields=["run", "key"], name="one_row_per_metric")
        ),
        migrations.AddIndex("runparam", models.Index(fields=["key", "number", "run"], name="param_by_number")),
        migrations.AddIndex("runparam", models.Index(fields=["key", "text", "run"], name="param_by_text")),
        migrations.AddIndex("runmetric", models.Index(fields=["key", "value", "run"], name="metric_by_value")),
        migrations.AddIndex("run", models.Index(fields=["name", "run_id"], name="run_by_name")),
        migrations.AddIndex("run", models.Index(fields=["status", "announced_at", "run_id"], name="run_by_status")),
        migrations.AddIndex("run", models.Index(fields=["epochs", "announced_at", "run_id"], name="run_by_epochs")),
        migrations.AddIndex("run", models.Index(fields=["start_time", "run_id"], name="run_by_start")),
        migrations.AddIndex("run", models.Index(fields=["end_time", "run_id"], name="run_by_end")),
        migrations.RunPython(index_words, forget_words),
        # The last: PostgreSQL changes no table whose new rows it has still to check.
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
