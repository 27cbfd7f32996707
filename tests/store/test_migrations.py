"""The migrations make the tables that the models describe."""

from django.core.management import call_command


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
