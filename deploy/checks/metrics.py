"""Every metric of ours that an alert, the dashboard or the scaler asks for is one that we have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.checks.fault import Fault
from deploy.checks.terraform import FOLDER, ROOT

PAGE = ROOT / "docs" / "reference" / "prometheus.md"
NAME = re.compile(r"\bwarmboard_\w+")
# PostgreSQL's user of the webapp, which looks like one.
OTHERS = frozenset({"warmboard_webapp"})


def faults(folder: Path = FOLDER, suffixes: Sequence[str] = (".tf", ".tftpl")) -> Iterator[Fault]:
    page = PAGE.read_text()
    known = set(re.findall(r"^\| `(warmboard_\w+)`", page, re.MULTILINE)) | OTHERS
    # A histogram has three names in queries.
    histograms = re.findall(r"^\| `(warmboard_\w+)` \|[^|]*\|[^|]*\| Histogram:", page, re.MULTILINE)
    known |= {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}
    for file in sorted(file for file in folder.rglob("*") if file.suffix in suffixes):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            for name in NAME.findall(line):
                if name not in known:
                    yield Fault(file, number, f"{name} is no metric of docs/reference/prometheus.md")
