"""What a rollout consists of, on this machine: the proxy of docker-compose.yml, and a webapp of another version."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local import isolated
from deploy.local.process import Part, Probe, Process, free_port
from deploy.local.stack import ROOT
from tests.waiting import PATIENCE

CADDYFILE = ROOT / "deploy" / "compose" / "Caddyfile"
AUTHORITY = "caddy/pki/authorities/local/root.crt"
"""In the proxy's folder: the certificate of the authority that it makes."""
HASHED = re.compile(r"\.([0-9a-f]{12})\.")


@contextmanager
def proxy(webapps: Sequence[str], environ: Mapping[str, str], folder: Path) -> Iterator[str]:
    """The address of the proxy in front of these webapps, each ``HOST:PORT``. Only addresses in its Caddyfile are
    others. Raises NotInstalledError if there is no Caddy for this machine.
    """
    port, health = free_port(), free_port()
    text = CADDYFILE.read_text().replace("webapp:8000", " ".join(webapps))
    text = text.replace("127.0.0.1:2080", f"127.0.0.1:{health}")
    # It would redirect from port 80, which may be taken.
    text = text.replace("{\n", "{\n\tauto_https disable_redirects\n", 1)
    file = folder / "Caddyfile"
    file.write_text(text)
    environ = {**environ, "PROXY_SITE": f"https://localhost:{port}", "XDG_DATA_HOME": str(folder)}
    command = [str(isolated.binaries("caddy") / "caddy"), "run", f"--config={file}", "--adapter=caddyfile"]
    process = Process(Part("proxy", command, _encrypts(port)), environ, folder / "proxy.log")
    try:
        process.wait_ready(PATIENCE)
        yield f"https://localhost:{port}"
    finally:
        process.stop()


def _encrypts(port: int) -> Probe:
    """A probe: TLS connections are accepted. The proxy takes connections before it has made its certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def probe() -> bool:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 5) as connection,
            context.wrap_socket(connection, server_hostname="localhost"),
        ):
            return True
        return False

    return probe


def of_another_version(static: Path, folder: Path) -> Path:
    """A copy of the static files under other names, as another version has them. Returns its folder."""
    copy = folder / "static"
    shutil.copytree(static, copy)
    manifest = copy / "staticfiles.json"
    known = json.loads(manifest.read_text())
    for path, hashed in known["paths"].items():
        known["paths"][path] = renamed = HASHED.sub(lambda found: f".{found[1][::-1]}.", hashed)
        for end in ("", ".gz"):
            if (file := copy / (hashed + end)).exists():
                file.rename(copy / (renamed + end))
    manifest.write_text(json.dumps(known))
    return copy
