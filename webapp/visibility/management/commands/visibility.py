"""``python -m webapp manage visibility``: list restricted experiments, restrict one or open it again."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from store.models import Run
from webapp.accounts import audit
from webapp.visibility.models import Restriction


class Command(BaseCommand):
    help = (
        "Restrict an experiment to members of groups and to administrators, or open it to all readers again. Missing "
        "groups are created; `manage account NAME --join GROUP` adds a member. Without arguments, list all restricted "
        "experiments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("experiment", nargs="?", help="its name in MLflow; it may have no runs yet")
        change = parser.add_mutually_exclusive_group()
        change.add_argument("--only-for", nargs="+", metavar="GROUP", help="restrict its runs to members of these")
        change.add_argument("--for-everyone", action="store_true", help="show its runs to every reader (the default)")

    def handle(
        self, *_: Any, experiment: str | None, only_for: list[str] | None, for_everyone: bool, **__: Any
    ) -> None:
        if experiment is None:
            if only_for or for_everyone:
                raise CommandError("Missing experiment name.")
            self._list()
            return
        if only_for:
            _restrict(experiment, only_for)
        elif for_everyone:
            _open(experiment)
        known = "" if Run.objects.filter(experiment_name=experiment).exists() else "; it has no runs yet"
        self.stdout.write(f"{experiment}: {_for_whom(experiment)}{known}")

    def _list(self) -> None:
        names = list(Restriction.objects.order_by("experiment_name").values_list("experiment_name", flat=True))
        for name in names:
            self.stdout.write(f"{name}: {_for_whom(name)}")
        if not names:
            self.stdout.write("no experiment is restricted")


@transaction.atomic
def _restrict(experiment: str, names: list[str]) -> None:
    _check(Restriction(experiment_name=experiment))
    restriction, _ = Restriction.objects.get_or_create(experiment_name=experiment)
    restriction.groups.set([_group(name) for name in names])
    audit.note("visibility", f"experiment {experiment}", f"only for {', '.join(names)}")


@transaction.atomic
def _open(experiment: str) -> None:
    Restriction.objects.filter(experiment_name=experiment).delete()
    audit.note("visibility", f"experiment {experiment}", "for everyone")


def _group(name: str) -> Group:
    """Get or create the group of this name. Raises CommandError for an invalid name."""
    if known := Group.objects.filter(name=name).first():
        return known
    group = Group(name=name)
    _check(group)
    group.save()
    return group


def _check(row: Restriction | Group) -> None:
    """Raises CommandError for a name that the table does not accept."""
    try:
        row.clean_fields()
    except ValidationError as error:
        raise CommandError(f"{str(row)!r:.60}: {' '.join(error.messages)}") from None


def _for_whom(experiment: str) -> str:
    restriction = Restriction.objects.filter(experiment_name=experiment).first()
    if restriction is None:
        return "for everyone"
    groups = [
        f"{group.name} ({count} account{'' if count == 1 else 's'})"
        for group in restriction.groups.order_by("name")
        for count in [group.user_set.count()]
    ]
    return f"only for {', '.join(groups)}" if groups else "only for administrators"
