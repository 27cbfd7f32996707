"""The parent and the children of a nested run, from the table of runs: pages never ask MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from store.models import Run
from webapp.visibility.reader import Reader, visible

CHILDREN_SHOWN = 100


@dataclass(frozen=True)
class Family:
    """Runs that the reader may see. ``children`` are the first CHILDREN_SHOWN of ``total``."""

    parent: Run | None = None
    children: Sequence[Run] = field(default=(), repr=False)
    total: int = 0

    @classmethod
    def of(cls, run: Run, reader: Reader) -> Self:
        """One query; another for the parent, and one to count many children."""
        runs = visible(Run.objects.exclude(pk=run.run_id), reader.hidden).only("run_id", "name", "status")
        nested = runs.filter(parent=run.run_id)
        children = list(nested.order_by("start_time", "run_id")[: CHILDREN_SHOWN + 1])
        return cls(
            parent=runs.filter(pk=run.parent).first() if run.parent else None,
            children=children[:CHILDREN_SHOWN],
            total=nested.count() if len(children) > CHILDREN_SHOWN else len(children),
        )

    def document(self) -> dict[str, Any]:
        """The members of the run's summary."""
        return {
            "parent": _named(self.parent) if self.parent else None,
            "children": [_named(child) for child in self.children],
            "children_total": self.total,
        }


def _named(run: Run) -> dict[str, str]:
    return {"mlflow_run_id": run.run_id, "name": run.name, "status": run.status}
