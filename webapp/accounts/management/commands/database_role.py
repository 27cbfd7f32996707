"""``python -m webapp manage database_role``: the webapp's own user in PostgreSQL, which can't write the store."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from warmboard.contract.settings import WEBAPP_DATABASE_URL, SettingError
from webapp.accounts.database_role import RoleError, create_role


class Command(BaseCommand):
    help = (
        "Create the user of WEBAPP_DATABASE_URL in PostgreSQL, or give it its rights again: it reads all tables, and "
        "writes those of accounts, annotations, tokens and the audit log, but none of the store. Run it after migrate."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        try:
            name = create_role(WEBAPP_DATABASE_URL.read())
        except (RoleError, SettingError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"role {name}: reads all tables, writes none of the store")
