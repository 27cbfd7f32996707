"""The Django app of sign-in with Google."""

from django.apps import AppConfig


class GoogleSignInConfig(AppConfig):
    name = "webapp.google_sign_in"
    label = "google_sign_in"
    default_auto_field = "django.db.models.BigAutoField"
