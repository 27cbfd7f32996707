"""Changes of annotations: validate one, and apply it to one run or to many."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from store.models import Run
from warmboard.contract.events import RUN_ID
from webapp.annotations.models import LONGEST_NAME, LONGEST_NOTE, LONGEST_VALUE, Annotation, Tag
from webapp.visibility.reader import visible

MOST_RUNS, MOST_PINNED, MOST_TAGS = 1000, 100, 50
NOTE_LOGGED = 200
"""Characters of a note that the audit log keeps."""


class ChangeError(ValueError):
    """The change can't be applied; ``part`` names the part that is invalid."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(f"{part}: {message}")
        self.part = part


@dataclass(frozen=True)
class Change:
    """A change; None leaves a part as it is. ``tags`` are added or, with ``instead``, replace all tags."""

    note: str | None = None
    pinned: bool | None = None
    archived: bool | None = None
    tags: dict[str, str] | None = None
    instead: bool = False
    untag: Collection[str] = field(default=())

    def __post_init__(self) -> None:
        """Raises ChangeError."""
        if self.note is not None and (len(self.note) > LONGEST_NOTE or not storable(self.note)):
            raise ChangeError("note", f"at most {LONGEST_NOTE:,} printable characters")
        if len(self.tags or {}) > MOST_TAGS:
            raise ChangeError("tags", f"at most {MOST_TAGS}")
        for name, value in (self.tags or {}).items():
            _check_tag(name, value)

    def __str__(self) -> str:
        """The change in words, for the audit log."""
        parts = [on if value else off for value, on, off in self._marks() if value is not None]
        if self.tags is not None:
            tags = ", ".join(f"{name}={value}" if value else name for name, value in self.tags.items()) or "none"
            parts.append(f"{'all tags' if self.instead else 'tags'}: {tags}")
        if self.untag:
            parts.append(f"without the tags: {', '.join(self.untag)}")
        if self.note is not None:
            shown = self.note if len(self.note) <= NOTE_LOGGED else f"{self.note[:NOTE_LOGGED]}…"
            parts.append(f"note: {shown}" if shown else "no note")
        return "; ".join(parts)

    def _marks(self) -> list[tuple[bool | None, str, str]]:
        return [(self.pinned, "pinned", "not pinned"), (self.archived, "archived", "not archived")]

    def make(self, run_ids: Collection[str], by: str, hidden: frozenset[str]) -> None:
        """Apply the change to all of these runs, or to none, as the user ``by``, from whom ``hidden`` experiments are
        hidden. Raises ChangeError.
        """
        if not 1 <= len(run_ids) <= MOST_RUNS:
            raise ChangeError("run", f"choose 1 to {MOST_RUNS:,} runs")
        with transaction.atomic():
            asked = filter(RUN_ID.fullmatch, run_ids)
            known = set(visible(Run.objects.filter(pk__in=asked), hidden).values_list("pk", flat=True))
            if unknown := sorted(set(run_ids) - known):
                raise ChangeError("run", f"unknown run {unknown[0]!r}")
            self._write_rows(known, by)
            self._write_tags(known)
            if self.pinned and Annotation.objects.filter(pinned=True).count() > MOST_PINNED:
                raise ChangeError("pinned", f"at most {MOST_PINNED} runs can be pinned; unpin some first")

    def _write_rows(self, run_ids: Iterable[str], by: str) -> None:
        parts = {"note": self.note, "pinned": self.pinned, "archived": self.archived}
        said: dict[str, Any] = {name: value for name, value in parts.items() if value is not None}
        said |= {"changed_by": by, "changed_at": timezone.now()}
        Annotation.objects.bulk_create(
            [Annotation(run_id=run_id, **said) for run_id in sorted(run_ids)],
            update_conflicts=True,
            unique_fields=["run"],
            update_fields=list(said),
        )

    def _write_tags(self, run_ids: Collection[str]) -> None:
        of_these = Tag.objects.filter(annotation_id__in=run_ids)
        if self.instead:
            of_these.exclude(name__in=self.tags or {}).delete()
        of_these.filter(name__in=self.untag).delete()
        Tag.objects.bulk_create(
            [
                Tag(annotation_id=run_id, name=name, value=value)
                for run_id in sorted(run_ids)
                for name, value in (self.tags or {}).items()
            ],
            update_conflicts=True,
            unique_fields=["annotation", "name"],
            update_fields=["value"],
        )


def read_tags(text: str) -> dict[str, str]:
    """Parse ``name=value`` and plain labels, separated by commas or line breaks."""
    tags: dict[str, str] = {}
    for item in text.replace("\n", ",").split(","):
        name, _, value = item.partition("=")
        if item.strip():
            tags[name.strip()] = value.strip()
    return tags


def storable(text: str) -> bool:
    """Whether a database can store the text: PostgreSQL takes no NUL, UTF-8 no unpaired surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check_tag(name: str, value: str) -> None:
    if not name:
        raise ChangeError("tags", "missing name: use name=value or a plain label")
    if len(name) > LONGEST_NAME or len(value) > LONGEST_VALUE:
        raise ChangeError("tags", f"names have at most {LONGEST_NAME} characters, values {LONGEST_VALUE}")
    if not storable(name + value) or any(mark in name + value for mark in ",\n\r"):
        raise ChangeError("tags", f"{name!r} contains a comma or a character that can't be stored")
