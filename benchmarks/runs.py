"""Runs to measure with: the 134 keys of the catalogue at any length, written as the trainer writes them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import requests

from contract.entries import Tower
from workers.documents import GRADIENT_STATS, LOSS, STEM, WEIGHT_NORM, WEIGHT_STATS

BINS = 25
FINAL = ["final_loss", "final_val_loss", "test_loss", *(f"test_recall_at_{k}" for k in (5, 10, 50, 100))]


def epoch_keys() -> list[str]:
    """The 127 keys of one epoch."""
    keys = [*LOSS.values(), *WEIGHT_NORM.values()]
    for tower in Tower:
        keys += [*WEIGHT_STATS[tower].values(), *GRADIENT_STATS[tower].values()]
        keys += [f"{tower}_{stem}_bin_{number}" for stem in STEM.values() for number in range(BINS)]
    return keys


def log_run(tracking_uri: str, epochs: int) -> str:
    """Logs one finished run of ``epochs`` epochs, one log-batch each; returns its ID."""
    api = f"{tracking_uri}/api/2.0/mlflow/"
    session = requests.Session()

    def post(path: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = session.post(api + path, json=document, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    name = f"benchmark-{time.time_ns()}"
    experiment = post("experiments/create", {"name": name})["experiment_id"]
    begin = int(time.time() * 1000)
    run_id = str(post("runs/create", {"experiment_id": experiment, "start_time": begin})["run"]["info"]["run_id"])
    random, keys = np.random.default_rng(1), epoch_keys()
    for epoch in range(epochs):
        values = random.normal(size=len(keys)).tolist()
        batch = [
            {"key": key, "value": value, "step": epoch, "timestamp": begin + epoch}
            for key, value in zip(keys, values, strict=True)
        ]
        post("runs/log-batch", {"run_id": run_id, "metrics": batch})
    finals = [{"key": key, "value": 0.5, "step": 0, "timestamp": begin} for key in FINAL]
    edges = ",".join(f"{edge:.6g}" for edge in np.linspace(-1, 1, BINS + 1))
    params = [{"key": f"{tower}_{stem}_bin_edges", "value": edges} for tower in Tower for stem in STEM.values()]
    post("runs/log-batch", {"run_id": run_id, "metrics": finals, "params": params})
    post("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": begin + epochs})
    return run_id
