"""The Django app of the commands ``backup`` and ``restore``. It has no tables."""

from django.apps import AppConfig


class BackupConfig(AppConfig):
    name = "webapp.backup"
    label = "backup"
