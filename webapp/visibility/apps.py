"""The Django app of restricted experiments."""

from django.apps import AppConfig


class VisibilityConfig(AppConfig):
    name = "webapp.visibility"
    label = "visibility"
    default_auto_field = "django.db.models.BigAutoField"
