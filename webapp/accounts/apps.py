"""The Django app of accounts. It is the last of INSTALLED_APPS: its groups get permissions that the others define."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "webapp.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from webapp.accounts.groups import create_groups

        post_migrate.connect(create_groups, sender=self)
