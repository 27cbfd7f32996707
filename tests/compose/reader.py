"""A person at the webapp: signs in, and opens pages and JSON over HTTP."""

from __future__ import annotations

import re
import secrets
from http.cookiejar import Cookie
from typing import Any

import requests

from tests.compose.project import Project
from tests.waiting import wait

PLAIN = "http://127.0.0.1:8000"
TIMEOUT = 30
PATIENCE = 300.0
"""Seconds, on a machine that also builds images."""


class Reader:
    """One account. ``verify`` is the file of the authority that signed the webapp's certificate."""

    def __init__(self, address: str = PLAIN, verify: str | bool = True) -> None:
        self._session = _session()
        self._session.verify = verify
        self.address = address
        self.name, self._password = f"reader-{secrets.token_hex(4)}", secrets.token_urlsafe(16)

    def create(self, project: Project) -> None:
        """Make the account as the how-to says, with the password on standard input."""
        manage = ["python", "-m", "webapp", "manage", "account", self.name, "--group", "operator"]
        project.compose("exec", "-T", "webapp", *manage, stdin=f"{self._password}\n")

    def sign_in(self) -> None:
        form = self.get("/sign-in/").text
        [token] = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        answer = self._session.post(
            f"{self.address}/sign-in/",
            data={"username": self.name, "password": self._password, "csrfmiddlewaretoken": token},
            headers={"Referer": f"{self.address}/sign-in/"}, timeout=TIMEOUT, allow_redirects=False,
        )  # fmt: skip
        assert answer.status_code == 302, f"signing in answers {answer.status_code}"

    def cookies(self) -> list[Cookie]:
        return list(iter(self._session.cookies))

    def get(self, path: str) -> requests.Response:
        return self._session.get(f"{self.address}{path}", timeout=TIMEOUT, allow_redirects=False)

    def wait_warm(self, run_id: str, epochs: int = 0) -> dict[str, Any]:
        """The run's curves, once it is warm with so many epochs: it becomes warm while it still trains."""
        path, seen = f"/api/runs/{run_id}/training-history/?resolution=full", ["nothing"]

        def ready() -> requests.Response | None:
            answer = self.get(path)
            seen[0] = f"{answer.status_code} {answer.text[:200]}"
            return answer if answer.status_code == 200 and len(answer.json()["epochs"]) >= epochs else None

        history: dict[str, Any] = wait(ready, f"{path} to be warm", lambda: seen[0], every=0.5, seconds=PATIENCE).json()
        return history

    def check_page(self, run_id: str, epochs: int = 0) -> None:
        """The run is warm with each of its epochs, and its page has its data."""
        found = self.wait_warm(run_id)["epochs"]
        assert found, f"run {run_id} has no epochs"
        assert found == list(range(epochs or len(found))), f"run {run_id} has the epochs {found}"
        page = self.get(f"/runs/{run_id}/")
        assert page.status_code == 200, f"the page of run {run_id} answers {page.status_code}"
        assert f"/api/runs/{run_id}/training-history/" in page.text, f"the page of run {run_id} has no data"

    def check_listed(self, run_id: str) -> None:
        """The newest runs of the list have this one."""
        assert run_id in self.get("/api/runs/").text, f"run {run_id} is not in the list"


def get(address: str, **query: str) -> requests.Response:
    """The answer for someone who has not signed in. Redirects are not followed."""
    with _session() as session:
        return session.get(address, params=query, timeout=TIMEOUT, allow_redirects=False)


def _session() -> requests.Session:
    """One that takes nothing of this machine's environment: no proxy, no other certificates."""
    session = requests.Session()
    session.trust_env = False
    return session
