"""Runs of other frameworks, logged with the stock client, are announced or warmed by hand, and shown."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from playwright.sync_api import Browser, expect

from tests.chromium import screenshot
from tests.integration.conftest import Running
from tests.integration.examples import ANY_FRAMEWORK, examples, run_id_of
from tests.waiting import PATIENCE

pytestmark = pytest.mark.integration

SYSTEM_METRICS = """
import time
import mlflow

mlflow.set_experiment("system metrics")
mlflow.set_system_metrics_sampling_interval(0.2)
mlflow.set_system_metrics_samples_before_logging(1)
with mlflow.start_run(log_system_metrics=True) as run:
    time.sleep(2)
print(run.info.run_id)
"""


def logged_by(script: str, running: Running) -> str:
    """The ID of the run that a script with the stock client logs."""
    environ = {**running.stack.environ, "GIT_PYTHON_REFRESH": "quiet"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def logged_by_the_step(running: Running) -> str:
    """Log like a PyTorch loop: one metric per step, another per epoch of 250 steps."""
    client = MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"])
    run_id: str = client.create_run(client.create_experiment("by the step")).info.run_id
    train = [Metric("train/loss", 2 / (1 + step / 100), 1_000 + step, step) for step in range(5_000)]
    train[777] = Metric("train/loss", 9.0, 1_777, 777)
    val = [Metric("val/accuracy", 1 - 1 / (epoch + 2), 2_000 + epoch, 250 * epoch) for epoch in range(20)]
    for begin in range(0, len(train), 1_000):
        client.log_batch(run_id, metrics=train[begin : begin + 1_000])
    client.log_batch(run_id, metrics=val)
    client.log_param(run_id, "optimizer", "sgd")
    client.set_terminated(run_id)
    return run_id


def warm(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    return running.command("workers", "warm", *arguments)


def everything(running: Running, run_id: str) -> dict[str, dict[int, float]]:
    """Every curve of the JSON at full resolution: key → step → value."""
    history = running.get(f"/api/runs/{run_id}/training-history/?resolution=full")
    curves = {
        key: {step: value for step, value in zip(history["epochs"], values, strict=True) if value is not None}
        for key, values in history["metrics"].items()
    }
    if history["more_metrics"]:
        for number in range(running.get(f"/api/runs/{run_id}/metrics/")["chunks"]):
            chunk = running.get(f"/api/runs/{run_id}/metrics/{number}/?resolution=full")
            for key, metric in chunk["metrics"].items():
                curves[key] = dict(zip(chunk["axes"][metric["axis"]]["steps"], metric["values"], strict=True))
    return curves


def told_by_mlflow(running: Running, run_id: str) -> dict[str, dict[int, float]]:
    client = MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"])
    keys = client.get_run(run_id).data.metrics
    return {key: {point.step: point.value for point in client.get_metric_history(run_id, key)} for key in keys}


def shown(running: Running, chromium: Browser, run_id: str, name: str, *texts: str) -> None:
    """Check that the run's page has these texts and no errors."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{running.stack.urls['web']}runs/{run_id}/")
    for text in texts:
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    expect(page.get_by_role("heading", name="Weight analysis")).to_have_count(0)
    screenshot(page, name)
    assert complaints == []
    context.close()


def test_a_scikit_learn_run_that_is_announced(running: Running, chromium: Browser, tmp_path: Path) -> None:
    run_id = run_id_of(examples(ANY_FRAMEWORK)["scikit-learn"], running, tmp_path)
    running.wait_state(run_id, "warm")
    history = running.get(f"/api/runs/{run_id}/training-history/")
    told = MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"]).get_run(run_id).data
    assert history["final_metrics"] == told.metrics
    assert "training_accuracy_score" in history["final_metrics"]
    assert history["params"] == told.params
    shown(running, chromium, run_id, "scikit-learn", "training_accuracy_score", "n_estimators")


def test_a_run_logged_by_the_step(running: Running, chromium: Browser) -> None:
    run_id = logged_by_the_step(running)
    assert warm(running, "--experiment", "by the step").returncode == 0
    assert everything(running, run_id) == told_by_mlflow(running, run_id)
    overview = running.get(f"/api/runs/{run_id}/training-history/")
    assert overview["epochs_total"] == 5_000
    assert max(overview["envelope"]["train/loss"]["max"]) == 9.0, "the spike between kept steps shows"
    shown(running, chromium, run_id, "by-the-step", "train/loss", "val/accuracy")


def test_system_metrics(running: Running, chromium: Browser) -> None:
    run_id = logged_by(SYSTEM_METRICS, running)
    done = warm(running, run_id)
    assert done.returncode == 0, done.stderr
    assert "1 run warm" in done.stdout
    curves, told = everything(running, run_id), told_by_mlflow(running, run_id)
    assert curves == {key: points for key, points in told.items() if len(points) > 1}
    assert any(key.startswith("system/") for key in curves)
    assert all(math.isfinite(value) for points in curves.values() for value in points.values())
    shown(running, chromium, run_id, "system-metrics", "system/cpu_utilization_percentage")


def test_warming_by_hand_names_the_error(running: Running) -> None:
    unknown = warm(running, "f" * 32)
    assert unknown.returncode == 1
    assert f"run {'f' * 32} failed" in unknown.stderr
    assert "0 runs warm, 1 failed" in unknown.stdout
    nowhere = warm(running, "--experiment", "no such experiment")
    assert nowhere.returncode == 1
    assert "no such experiment" in nowhere.stderr
    elsewhere = warm(running, "--server", "other", "f" * 32)
    assert elsewhere.returncode == 1
    assert "configured: default" in elsewhere.stderr
    assert warm(running).returncode == 2
