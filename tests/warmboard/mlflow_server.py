"""A real MLflow server that a test can kill and restart."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy.local.process import Part, Process, answers_http, free_port
from tests.environment import GIVEN

READY_SECONDS = 120.0


class MlflowServer:
    """MLflow on SQLite, in its own folder, at the same address after every restart."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: Process | None = None

    @property
    def is_down(self) -> bool:
        return self._process is None

    def start(self) -> None:
        """Start it, and return when it answers."""
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        environ = {**GIVEN, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PATH": os.environ["PATH"]}
        part = Part("mlflow", command, answers_http(f"{self.uri}/health"), self.uri, stop_all=True)
        self._process = Process(part, environ, self.folder / "mlflow.log")
        self._process.wait_ready(READY_SECONDS)

    def kill(self) -> None:
        """Send SIGKILL to the server and all its processes."""
        if self._process:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None
