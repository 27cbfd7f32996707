"""A real MLflow server that a test can kill and restart."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.local.process import Part, Process, answers_http, free_port
from tests.environment import GIVEN
from tests.mlflow_server.servers import PATH, new_database
from tests.waiting import PATIENCE


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
        database = self.folder / "mlflow.db"
        if not database.exists():
            new_database(self.folder, database.name)
        # The server that `mlflow server` starts, without the command line, which imports all of MLflow too.
        command = [sys.executable, "-m", "uvicorn", "--port", str(self.port), "mlflow.server.fastapi_app:app"]
        environ = {
            **GIVEN,
            "PATH": PATH,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "_MLFLOW_SGI_NAME": "uvicorn",
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{database}",
            "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{database}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self.folder / "artifacts"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        }
        part = Part("mlflow", command, answers_http(f"{self.uri}/health"), self.uri)
        self._process = Process(part, environ, self.folder / "mlflow.log")
        self._process.wait_ready(PATIENCE)

    def kill(self) -> None:
        """Send SIGKILL to the server and all its processes."""
        if self._process:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None
