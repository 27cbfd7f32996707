"""The Django app of personal access tokens."""

from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "webapp.tokens"
