"""The Django app of the pages and the API."""

from django.apps import AppConfig


class WebappConfig(AppConfig):
    name = "webapp"

    def ready(self) -> None:
        from webapp.access.readers import watch_accounts

        watch_accounts()
