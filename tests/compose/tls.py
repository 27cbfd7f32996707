"""The webapp behind the proxy of the profile tls: pages over TLS, and slow clients, which the proxy waits for."""

from __future__ import annotations

import re
import socket
import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.compose.project import Project
from tests.compose.reader import PLAIN, TIMEOUT, Reader, get

HOST, PORT = "localhost", 8443
ADDRESS = f"https://{HOST}:{PORT}"
AUTHORITY = "/data/caddy/pki/authorities/local/root.crt"
SLOW_CLIENTS = 200
"""More than the webapp takes bodies at once, in all of its processes."""
REFUSED = re.compile(r"^warmboard_requests_refused_total\{[^}]*\} (\S+)$", re.MULTILINE)


def check_over_tls(project: Project, run_id: str) -> str:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as slow:
        authority = Path(folder) / "authority.crt"
        project.compose("cp", f"proxy:{AUTHORITY}", str(authority))
        reader = Reader(ADDRESS, str(authority))
        reader.create(project)
        reader.sign_in()
        reader.check_page(run_id)
        assert all(cookie.secure for cookie in reader.cookies()), "a cookie may be sent without TLS"
        plain = get(f"{PLAIN}/")
        assert plain.status_code == 301, f"without TLS the webapp answers {plain.status_code}"
        assert plain.headers["Location"].startswith("https://")
        before = _refused(project)
        for _ in range(SLOW_CLIENTS):
            slow.enter_context(_slow_post(authority))
        reader.check_page(run_id)
        assert _refused(project) == before, "the webapp met slow clients"
    return f"read over TLS, also while {SLOW_CLIENTS} clients send bodies slowly, which the webapp does not notice"


def _slow_post(authority: Path) -> ssl.SSLSocket:
    """A client that has sent half of its request."""
    context = ssl.create_default_context(cafile=str(authority))
    connection = context.wrap_socket(socket.create_connection((HOST, PORT), TIMEOUT), server_hostname=HOST)
    head = f"POST /sign-in/ HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nContent-Length: 1000\r\n\r\n"
    connection.sendall(head.encode() + b"x" * 500)
    return connection


def _refused(project: Project) -> float:
    """How many requests the webapp has refused as too slow or too many."""
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics', timeout=10).read().decode())"
    metrics = project.compose("exec", "-T", "webapp", "python", "-c", ask)
    assert "warmboard_request_seconds" in metrics
    return sum(map(float, REFUSED.findall(metrics)))
