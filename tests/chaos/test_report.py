"""The report of storms, as a page and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from chaos import report
from chaos.plan import SHORT
from chaos.storm import Outcome
from chaos.verdict import Verdict


def test_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PAGE", tmp_path / "chaos.md")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results" / "chaos.json")
    verdict = Verdict(warm=9, recoveries=[0.0] * 8 + [3.5], problems=["run r is not warm"])
    faults = Counter({"kill worker": 2, "fill disk": 1})
    outcome = Outcome(7, "sqlite", SHORT, faults, 31, 4, 2, True, 100 * 2**20, verdict, 60.0)
    report.publish([outcome])
    page = (tmp_path / "chaos.md").read_text()
    assert "9 of 10 runs warm" in page
    assert "run r is not warm" in page
    assert "| kill worker | 2 |" in page
    (told,) = json.loads((tmp_path / "results" / "chaos.json").read_text())
    assert told["faults"] == dict(faults)
    assert told["verdict"]["recoveries"][-1] == 3.5
