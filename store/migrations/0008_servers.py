from django.db import migrations, models
from django.utils import timezone

TRANSIENT = "gave up after "
"""How the reason begins of what was given up after as many transient errors as attempts: MLflow, the database or Redis
was down, as a rule. Other reasons blame the run or what it killed.
"""


def take_up(apps, schema_editor):
    """Warm what an outage has parked, once. The events are held back: beat lets them through one after the other, behind
    all fresh ones. One whose run itself was to blame is parked again.
    """
    events = apps.get_model("store", "InboxEvent").objects
    events.filter(state="failed", reason__startswith=TRANSIENT).update(state="pending", due_at=None, attempts=0)
    runs = apps.get_model("store", "Run").objects.filter(rebuild_due_at=None, rebuild_reason__startswith=TRANSIENT)
    runs.update(rebuild_attempts=0, rebuild_due_at=timezone.now())


class Migration(migrations.Migration):

    dependencies = [
        ('store', '0007_changes'),
    ]

    operations = [
        migrations.CreateModel(
            name='TrackingServerState',
            fields=[
                ('name', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('down_since', models.DateTimeField(help_text='Null: it answers again, and its runs are let through.', null=True)),
                ('reason', models.TextField(help_text='What its last answer was, or why there was none.')),
                ('asked_at', models.DateTimeField(help_text='When beat last asked whether it is back.', null=True)),
                ('next_at', models.DateTimeField(help_text='When it is back: when its next run may be fetched.', null=True)),
            ],
        ),
        migrations.AlterField(
            model_name='inboxevent',
            name='due_at',
            field=models.DateTimeField(help_text='From then on the sweep may queue the event again. Null if pending: it is held back.', null=True),
        ),
        migrations.RunPython(take_up, migrations.RunPython.noop),
    ]
