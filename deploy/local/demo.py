"""The demonstration: one training against a running stack, then its warm page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deploy.local.process import PartError, open_local

WARM_SECONDS = 60.0
HISTOGRAMS = "?type=weights&tower=query"


def train(arguments: Sequence[str], environ: dict[str, str], watch: Callable[[], None]) -> None:
    """Run ``python -m trainer`` in the stack's environment. Raises PartError if it fails."""
    trainer = subprocess.Popen([sys.executable, "-m", "trainer", *arguments], env={**os.environ, **environ})
    try:
        while (status := trainer.poll()) is None:
            watch()
            time.sleep(0.2)
    except BaseException:
        trainer.terminate()
        trainer.wait()
        raise
    if status:
        raise PartError(f"the training failed with status {status}; see its output above")


def demonstrate(
    data: Path, environ: dict[str, str], urls: dict[str, str], *, setup: float, epochs: int, watch: Callable[[], None]
) -> dict[str, Any]:
    """Train, wait until the run is warm, write ``demo.json`` and return its content. Raises PartError on failure."""
    report = data / "training.json"
    quick_test_id = _next_quick_test(urls["web"])
    train([f"--epochs={epochs}", f"--quick-test-id={quick_test_id}", f"--json={report}"], environ, watch)
    trained = json.loads(report.read_text())
    run_id, web = trained["run_id"], urls["web"]
    api = f"{web}api/runs/{run_id}/"
    summary = _wait_warm(api, watch)
    demo = {
        "run_id": run_id,
        "quick_test_id": quick_test_id,
        "urls": {
            **urls,
            "run": f"{web}runs/{run_id}/",
            "history": api + "training-history/",
            "histogram": api + "histogram-data/" + HISTOGRAMS,
        },
        "seconds": {
            "setup": round(setup, 3),
            "training": trained["seconds"]["training"],
            "publish_to_warm": _publish_to_warm(summary),
        },
    }
    (data / "demo.json").write_text(json.dumps(demo, indent=2) + "\n")
    return demo


def _next_quick_test(web: str) -> int:
    """A number that none of the newest runs has. A product would take it from its own table."""
    runs = _get(f"{web}api/runs/?limit=200")["runs"]
    return 1 + max((number for run in runs for number in run["quick_test_ids"]), default=0)


def _wait_warm(api: str, watch: Callable[[], None]) -> dict[str, Any]:
    """Wait until the run is warm and its event is done; return the run's summary."""
    begin = time.monotonic()
    while (state := (summary := _summary(api))["state"]) != "warm" or _publish_to_warm(summary) is None:
        if state == "failed":
            raise PartError(f"warming failed: {summary['reason']}")
        if time.monotonic() - begin > WARM_SECONDS:
            raise PartError(f"the run is still {state} after {WARM_SECONDS:.0f} s: {summary['expect']}")
        watch()
        time.sleep(0.1)
    return summary


def _summary(api: str) -> dict[str, Any]:
    """The run's summary from the webapp; its state is unknown until its event has arrived."""
    try:
        return _get(api)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise PartError(f"{api} answered {error.code}") from error
        return {"state": "unknown", "reason": "", "expect": "its event has not arrived"}


def _get(url: str) -> dict[str, Any]:
    with open_local(url, 10) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def _publish_to_warm(summary: dict[str, Any]) -> float | None:
    seconds: float | None = summary["timings"]["publish_to_warm_seconds"]
    return seconds
