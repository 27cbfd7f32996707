"""The measured pages: ours, the floor (a static page), and those of other tools, all with the same run."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import requests

from benchmarks.pages.browser import Shown
from benchmarks.pages.values import EDGES, counts_of, stems, two_towers
from deploy.local import isolated
from deploy.local.process import Part, Process, answers_http, free_port
from deploy.local.stack import ROOT
from warmboard.contract.entries import Tower

HERE = Path(__file__).parent
FLOOR = HERE / "floor"
UPLOT = ROOT / "webapp" / "static" / "vendor" / "uplot-1.6.32"
READY_SECONDS = 120.0
EPOCHS = 100


@dataclass
class Place:
    """A folder and the processes of the contenders; they stop with its context."""

    folder: Path
    environ: Mapping[str, str]
    started: list[Process] = field(default_factory=list)

    def serve(self, name: str, command: list[str], port: int | None = None, **environ: str) -> str:
        """Start ``command``, with its ``{port}`` replaced by the port; return its address once it answers."""
        port = port or free_port()
        address = f"http://127.0.0.1:{port}/"
        part = Part(name, [word.format(port=port) for word in command], answers_http(address))
        process = Process(part, {**self.environ, **environ}, self.folder / f"{name}.log")
        self.started.append(process)
        process.wait_ready(READY_SECONDS)
        return address


@contextmanager
def place(folder: Path, environ: Mapping[str, str]) -> Iterator[Place]:
    found = Place(folder, environ)
    try:
        yield found
    finally:
        for process in found.started:
            process.stop()


def ours(web: str, run_id: str, name: str = "Warmboard") -> Shown:
    """Our page, drawn when all charts are, in view or not: six line charts, and a ridgeline and bars of each tower."""
    drawn = """
      within(".charts .u-wrap canvas").length >= 6 && within(".panel canvas").length === 4
      && within(".panel canvas").every((canvas) => canvas.width !== 300)"""
    return Shown(name, f"{web}runs/{run_id}/", drawn)


def floor(at: Place, web: str, run_id: str) -> Shown:
    """A static page with the same ten charts of the same data, in one file."""
    folder = at.folder / "floor"
    shutil.copytree(FLOOR, folder)
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        shutil.copy(UPLOT / name, folder)
    (folder / "data.json").write_text(json.dumps(_documents(f"{web}api/runs/{run_id}/")))
    for file in list(folder.iterdir()):
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    command = ["granian", "--interface=wsgi", "--workers=2", "--blocking-threads=4", "--port={port}"]
    address = at.serve("floor", [*command, "benchmarks.pages.static_site:application"], FLOOR_FOLDER=str(folder))
    return Shown("a static page", address, "document.body.dataset.drawn")


def mlflow(tracking_uri: str, run_id: str) -> Shown:
    answer = requests.get(f"{tracking_uri}/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=10)
    experiment = answer.json()["run"]["info"]["experiment_id"]
    address = f"{tracking_uri}/#/experiments/{experiment}/runs/{run_id}/model-metrics"
    return Shown("MLflow", address, 'inView(".js-plotly-plot .scatterlayer .trace").length >= 6')


def tensorboard(at: Place) -> Iterator[Shown]:
    """Scalars, and histograms."""
    folder = at.folder / "tensorboard"
    _write([sys.executable, "-m", "benchmarks.pages.write_tensorboard", str(folder)], at)
    command = ["tensorboard", f"--logdir={folder}", "--host=127.0.0.1", "--port={port}"]
    address = at.serve("tensorboard", command)
    lines = """
      within("tf-scalar-dashboard", "tf-scalar-card", "tf-line-chart-data-loader", "vz-line-chart2", "path.line")
        .filter((line) => line.getAttribute("d")).length >= 4"""
    yield Shown("TensorBoard, scalars", f"{address}#scalars", lines)
    ridges = """within("tf-histogram-dashboard", "tf-histogram-loader", "vz-histogram-timeseries")
      .filter((chart) => chart.shadowRoot.querySelectorAll("path").length >= 50).length >= 2"""
    yield Shown("TensorBoard, histograms", f"{address}#histograms", ridges)


def aim(at: Place) -> Iterator[Shown]:
    """Metrics, and distributions."""
    programs, folder = isolated.binaries("aim"), at.folder / "aim"
    folder.mkdir()
    subprocess.run([programs / "aim", "init", "--repo", folder], env=dict(at.environ), check=True, capture_output=True)
    run = _write([str(programs / "python"), str(HERE / "write_aim.py"), str(folder)], at).split()[-1]
    command = [str(programs / "aim"), "up", f"--repo={folder}", "--host=127.0.0.1", "--port={port}"]
    address = at.serve("aim", command)
    lines = 'inView("svg.Visualization path.Line").length >= 4'
    yield Shown("Aim, metrics", f"{address}runs/{run}/metrics", lines)
    yield Shown("Aim, distributions", f"{address}runs/{run}/distributions", 'inView(".highcharts-root").length >= 2')


def trackio(at: Place) -> Shown:
    programs, folder = isolated.binaries("trackio"), at.folder / "trackio"
    environ = {"TRACKIO_DIR": str(folder)}
    _write([str(programs / "python"), str(HERE / "write_trackio.py")], at, **environ)
    port = free_port()
    command = [str(programs / "trackio"), "show", "--project=two-towers"]
    address = at.serve("trackio", command, port=port, GRADIO_SERVER_PORT=str(port), **environ)
    return Shown("trackio", f"{address}?project=two-towers", 'inView("canvas.marks").length >= 6')


def _documents(api: str) -> dict[str, Any]:
    """The documents that our page reads."""
    wanted = [f"histogram-data/?type=weights&tower={tower}&resolution=overview" for tower in Tower]
    history, *histograms = (
        requests.get(api + path, timeout=10).json() for path in ("training-history/?resolution=full", *wanted)
    )
    return {"history": history, "histograms": histograms}


def _write(command: list[str], at: Place, **environ: str) -> str:
    """The output of a program that logs the run in another tool. Raises RuntimeError if it fails."""
    done = subprocess.run(
        command, env={**at.environ, **environ}, input=_logged(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


@cache
def _logged() -> str:
    """The run for tools with histograms: each epoch's scalars, and each histogram's counts."""
    epochs = []
    for epoch, values in enumerate(two_towers(EPOCHS)):
        scalars = {key: value for key, value in values.items() if "_bin_" not in key}
        epochs.append((scalars, {stem: counts_of(stem, epoch / EPOCHS) for stem in stems()}))
    return json.dumps({"edges": EDGES.tolist(), "epochs": epochs})
