"""Runs with names of all kinds."""

from __future__ import annotations

import pytest

from tests.webapp.listing.conftest import Make
from webapp.annotations.change import Change
from webapp.annotations.models import LONGEST_NAME
from webapp.visibility.reader import NOTHING

HOSTILE = [
    "__proto__", "constructor", "val loss", 'a "b" \\', "it's", "`tick`", "and", "or", "is:pinned", "metric.x", "like",
    "\u05e9\u05dc\u05d5\u05dd", "k" * 250, "a\nb", "=", "<b>", "%_", "x.last", "(", "a,b", " ", "\N{FIRE}",
    ".", "a.min.min",
]  # fmt: skip
"""Names that need care in a query, in SQL, in JavaScript or on a page."""


def is_tag(name: str) -> bool:
    """Whether a tag may be called so."""
    return len(name) <= LONGEST_NAME and bool(name.strip()) and not set(name) & set(",\n")


@pytest.fixture
def runs(make: Make) -> None:
    """Three runs, as people log them."""
    for number, optimizer in enumerate(["adam", "adagrad", "sgd"]):
        metrics = {"loss": 0.1, "val_loss": 0.2, "acc": 0.5, "acc.min": 0.4, "batch/val loss": 1.0, "system/cpu": 9.0}
        params = {"optimizer": optimizer, "lr": f"0.00{number + 1}", "optimizer_eps": "1e-8", "note": "two words"}
        make(f"run{number}", params, metrics, experiment_name="two tower", name=f"quick {number}", status="FINISHED")
    Change(tags={"owner": "ada", "good": ""}).make(["run0", "run1"], "ada", NOTHING)
    Change(tags={"owner": "it's 5"}).make(["run2"], "ada", NOTHING)


@pytest.fixture
def hostile(make: Make) -> None:
    """A run whose metrics, parameters and tags all have hostile names, and such values."""
    make(
        "hostile",
        {name: HOSTILE[-1 - number] for number, name in enumerate(HOSTILE)},
        dict.fromkeys([*HOSTILE, "acc", "acc.min"], 1.0),
        name='"', experiment_name='an "experiment"',
    )  # fmt: skip
    tags = {name: name for name in HOSTILE if is_tag(name)}
    Change(tags=tags).make(["hostile"], "ada", NOTHING)
    make("plain", {"lr": "1"}, {"loss": 1.0}, experiment_name="it's \u05e9")
