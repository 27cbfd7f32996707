"""MLflow's tags as rows, and the parent of a nested run. Both are empty until a run is rebuilt.

The parent has a default in the database, so that programs of the version before still add runs during an upgrade.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("store", "0005_summaries")]

    operations = [
        migrations.AddField(
            "run",
            "parent",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The run that it is a nested run of, or empty.",
                max_length=64,
            ),
        ),
        migrations.AddIndex("run", models.Index(fields=["parent", "run_id"], name="run_by_parent")),
        migrations.CreateModel(
            name="RunTag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=250)),
                (
                    "text",
                    models.CharField(
                        help_text="The beginning of the value: all that an index takes.", max_length=200
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tag_rows",
                        to="store.run",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint("runtag", models.UniqueConstraint(fields=["run", "key"], name="one_row_per_tag")),
        migrations.AddIndex("runtag", models.Index(fields=["key", "text", "run"], name="run_tag_by_text")),
    ]
