"""Over TLS, as deployed: two webapps of different versions behind the proxy of docker-compose.yml."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from deploy.local import isolated
from deploy.local.process import Part, Process, answers_tcp, free_port
from tests.browser.webapp import Webapp, webapp
from tests.rollout import AUTHORITY, of_another_version, proxy
from tests.waiting import PATIENCE, PATIENCE_MS

PASSWORD = "correct horse"  # noqa: S105 - of an account that lives as long as this file
RATE_LIMIT = 1_000_000
RUN = "abc123def456"
FILE_OF_PAGE = re.compile(r'="(/static/[^"]+\.(?:css|js))"')


@dataclass
class Deployed:
    """``first`` and ``second`` are behind ``address``, whose certificate ``authority`` has signed."""

    address: str
    authority: Path
    first: Webapp
    second: Process

    def session(self) -> requests.Session:
        """A client on connections of its own, which checks the certificate."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.authority)
        return session

    def signed_in(self) -> requests.Session:
        session = self.session()
        form = session.get(f"{self.address}/sign-in/", timeout=PATIENCE).text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token
        fields = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        answer = session.post(
            f"{self.address}/sign-in/", fields, headers={"Referer": f"{self.address}/"}, timeout=PATIENCE
        )
        assert answer.status_code == 200
        return session


@pytest.fixture(scope="module")
def deployed(valkey: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    given = {
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "WEBAPP_HTTPS": "true",
        "WEBAPP_TRUSTED_PROXIES": "1",
        "WEBAPP_RATE_LIMIT": str(RATE_LIMIT),
    }
    try:
        isolated.binaries("caddy")
    except isolated.NotInstalledError as error:
        pytest.skip(f"not run: pages behind the proxy (no Caddy: {error})")
    folder = tmp_path_factory.mktemp("deployed")
    ada = ["createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org"]
    with webapp(folder, 3, given, ada) as first:
        first.seeder(("Sample", {"run_id": RUN}, "warm", {}))
        port = free_port()
        static = of_another_version(folder / "static", tmp_path_factory.mktemp("other"))
        environ = first.environ | {"WEBAPP_PORT": str(port), "WEBAPP_STATIC_ROOT": str(static)}
        part = Part("webapp", first.process.part.command, answers_tcp(port), f"127.0.0.1:{port}")
        second = Process(part, environ, folder / "second.log")
        try:
            second.wait_ready(PATIENCE)
            webapps = [urlsplit(first.address).netloc, part.address]
            with proxy(webapps, first.environ, folder) as address:
                yield Deployed(address, folder / AUTHORITY, first, second)
        finally:
            second.stop()


def test_a_browser_signs_in_and_sees_charts(chromium: Browser, deployed: Deployed) -> None:
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type != "log":
            complaints.append(message.text)

    # The browser does not know the authority; the tests below check its certificate.
    context = chromium.new_context(base_url=deployed.address, ignore_https_errors=True)
    context.set_default_timeout(PATIENCE_MS)
    page: Page = context.new_page()
    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"/runs/{RUN}/")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{deployed.address}/runs/{RUN}/")
    # Either version may answer for the page, for its style and for its script.
    for _ in range(8):
        page.goto(f"/runs/{RUN}/")
        expect(page.locator(".charts .u-wrap canvas").first).to_be_visible()
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    assert all(cookie["secure"] for cookie in cookies.values())
    assert cookies["sessionid"]["httpOnly"]
    context.close()
    assert complaints == []


def test_the_certificate_is_checked(deployed: Deployed) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{deployed.address}/healthz", timeout=PATIENCE, verify=ssl.get_default_verify_paths().cafile)
    answer = deployed.session().get(f"{deployed.address}/healthz", timeout=PATIENCE)
    assert answer.status_code == 200
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_without_tls_a_webapp_only_redirects(deployed: Deployed) -> None:
    plain = requests.get(f"{deployed.first.address}/", allow_redirects=False, timeout=PATIENCE)
    assert plain.status_code == 301
    assert plain.headers["Location"].startswith("https://")


def test_what_a_client_says_of_its_address_and_scheme_is_not_believed(deployed: Deployed) -> None:
    """The proxy says both, so no client gets another's share of the rate limit."""
    client, left = deployed.session(), []
    for number in range(60):
        claims = {"X-Forwarded-For": f"203.0.113.{number}", "X-Forwarded-Proto": "http", "Forwarded": "proto=http"}
        answer = client.get(f"{deployed.address}/api/runs/", headers=claims, timeout=PATIENCE)
        assert answer.status_code == 401
        left.append(int(answer.headers["RateLimit-Remaining"]))
    assert min(left) < RATE_LIMIT - 1


@pytest.mark.parametrize("path", ["/", f"/runs/{RUN}/", "/operations/", "/compare/", "/tokens/"])
def test_each_page_gets_its_files_of_either_version(deployed: Deployed, path: str) -> None:
    reader, names = deployed.signed_in(), set[str]()
    for _ in range(200):  # The proxy chooses one by chance.
        page = reader.get(f"{deployed.address}{path}", timeout=PATIENCE)
        files = set(FILE_OF_PAGE.findall(page.text))
        assert page.status_code == 200
        assert files
        names |= files
        if names != files:
            break
    assert len(names) == 2 * len(files)
    for name in names:
        for place in (deployed.first.address, f"http://{deployed.second.part.address}"):
            answer = requests.get(f"{place}{name}", headers={"X-Forwarded-Proto": "https"}, timeout=PATIENCE)
            assert answer.status_code == 200


def test_a_version_that_ends_takes_no_request_with_it(deployed: Deployed) -> None:
    """The last test: one webapp is killed."""
    reader = deployed.signed_in()
    for number in range(40):
        if number == 10:
            deployed.second.kill()
        assert reader.get(f"{deployed.address}/runs/{RUN}/", timeout=PATIENCE).status_code == 200
