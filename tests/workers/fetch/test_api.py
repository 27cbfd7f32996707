"""Real connections to small servers: credentials, proxies, TLS, connection reuse and delayed acknowledgements."""

from __future__ import annotations

import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.auth import jwt

from tests.certificates import Authority
from tests.waiting import PATIENCE
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow
from tests.workers.fetch.small_server import Answer, SmallServer, serving
from warmboard.contract.settings import SettingError
from workers.errors import NotMlflowError, TransientError
from workers.fetch import connections
from workers.fetch.fetcher import Fetcher, TrackingServer
from workers.fetch.server import GoogleIdentity
from workers.servers.probe import ask
from workers.settings import Settings

BEARER = "a.b-c_d"


def mlflow(**metrics: Any) -> Callable[[str, Any, bytes], Answer]:
    """The responses of a stock server."""
    fake = FakeMlflow(metrics)

    def answer(path: str, headers: Any, body: bytes) -> Answer:
        found = fake.urlopen("GET", path, body=body, headers=headers, preload_content=True, decode_content=False)
        return found.status, found.data, dict(found.headers)

    return answer


CREDENTIALS = [
    ("http://{}", None),
    ("http://ada:s3cr%40t@{}", "Basic YWRhOnMzY3JAdA=="),
    ("http://ada:@{}", "Basic YWRhOg=="),
    ("http://a.b-c_d@{}", "Bearer a.b-c_d"),
]


@pytest.mark.parametrize(("address", "expected"), CREDENTIALS, ids=["none", "basic", "no password", "bearer"])
def test_credentials_go_with_every_request(address: str, expected: str | None) -> None:
    with serving(mlflow(loss=[(0, 1.0, 1)])) as server:
        tracking = TrackingServer.at("default", address.format(server.address.removeprefix("http://")) + "/a/prefix/")
        assert tracking.uri == server.address + "/a/prefix"
        assert Fetcher(tracking).fetch(RUN_ID).curves["loss"].values.tolist() == [1.0]
        assert list(Fetcher(tracking).search_runs("two-tower"))
        assert set(server.authorizations) == {expected}


def test_a_redirect_is_not_followed_so_credentials_stay_with_one_server() -> None:
    with (
        serving(mlflow(loss=[(0, 1.0, 1)])) as other,
        serving(lambda path, *_: (302, b"", {"Location": other.address + path})) as server,
    ):
        tracking = TrackingServer("default", server.address, "ada", "s3cret")
        with pytest.raises(NotMlflowError, match=r"answered 302 to runs/get: .*Redirects are not followed"):
            Fetcher(tracking).fetch(RUN_ID)
        assert other.authorizations == []


def test_a_password_in_netrc_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(mlflow()) as server:
        Fetcher(TrackingServer("default", server.address)).fetch(RUN_ID)
        assert set(server.authorizations) == {None}


@pytest.fixture
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is old, however slow the machine is."""
    monkeypatch.setattr(connections, "LONGEST_AGE", math.inf)


@pytest.mark.usefixtures("young")
def test_connections_are_kept() -> None:
    with serving(mlflow(**{f"m{number}": [(0, 1.0, 1)] for number in range(60)})) as server:
        fetcher = Fetcher(TrackingServer("default", server.address), concurrency=3)
        for _ in range(2):
            assert len(fetcher.fetch(RUN_ID).curves) == 60
        # One more, because the 404 of the bulk route may close its connection.
        assert server.connections <= 3 + 1
        assert len(server.authorizations) == 1 + 2 * 62


@pytest.mark.parametrize(("age", "opened"), [(0.2, 2), (math.inf, 1)])
def test_an_old_connection_is_left_for_a_new_one(age: float, opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of several processes may have all old ones in one of them."""
    monkeypatch.setattr(connections, "LONGEST_AGE", age)
    with serving(lambda *_: (200, b"{}", {})) as server:
        pool = connections.connections_to(server.address, 1)
        pool.urlopen("GET", server.address + "/", retries=False)
        time.sleep(0.3)
        # The old connection serves one more request.
        pool.urlopen("GET", server.address + "/", retries=False)
        pool.urlopen("GET", server.address + "/", retries=False)
        assert server.connections == opened


def test_the_last_response_of_a_connection_is_the_last_whenever_the_server_closes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It need not say that it will, and may do so late."""
    monkeypatch.setattr(connections, "LONGEST_AGE", 0.0)
    asked: list[list[bool]] = []
    """Of each connection, whether each of its requests was to be the last."""

    def serve(listener: socket.socket) -> None:
        with suppress(OSError), ExitStack() as opened:
            while True:
                near = opened.enter_context(listener.accept()[0])
                asked.append([])
                while not any(asked[-1]):
                    asked[-1].append(b"Connection: close" in near.recv(65536))
                    near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=[listener], daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        pool = connections.connections_to(address, 1)
        for _ in range(4):
            assert pool.urlopen("GET", address, retries=False, timeout=urllib3.Timeout(PATIENCE)).data == b"{}"
    assert asked == [[False, True], [False, True]]


@pytest.mark.skipif(
    connections.QUICKACK is None, reason="not run: responses on kept connections (no TCP_QUICKACK here)"
)
@pytest.mark.usefixtures("young")
def test_no_response_waits_for_a_delayed_acknowledgement() -> None:
    with serving(lambda *_: (200, b"{}", {})) as server:
        pool = connections.connections_to(server.address, 1)
        took = []
        for _ in range(10):
            begin = time.perf_counter()
            pool.urlopen("GET", server.address + "/", retries=False)
            took.append(time.perf_counter() - begin)
    assert server.connections == 1
    # Without QUICKACK, the kernel delays every acknowledgement except the first by 40 ms, on any machine.
    assert min(took[1:]) < 0.03


def test_the_environments_proxy_is_used_and_each_server_gets_its_own_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str | None, str | None]] = []

    def proxy(url: str, headers: Any, body: bytes) -> Answer:
        seen.append((headers.get("Proxy-Authorization"), headers.get("Authorization")))
        return mlflow()(url, headers, body)

    with serving(proxy) as server, serving(mlflow()) as direct:
        monkeypatch.setenv("http_proxy", server.address.replace("//", "//me:pass@"))
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        Fetcher(TrackingServer("default", "http://mlflow.invalid", token=BEARER)).fetch(RUN_ID)
        assert set(seen) == {("Basic bWU6cGFzcw==", f"Bearer {BEARER}")}
        Fetcher(TrackingServer("default", direct.address)).fetch(RUN_ID)
        assert (len(seen), len(direct.authorizations)) == (3, 3)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    host = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = builder.add_extension(host, critical=False).sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "certificate.pem"
    path.write_bytes(private + signed.public_bytes(Encoding.PEM))
    return path


def test_https_requires_a_trusted_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(mlflow(loss=[(0, 1.0, 1)]), context) as server:
        tracking = TrackingServer("default", server.address, token=BEARER)
        with pytest.raises(TransientError, match="certificate verify failed"):
            Fetcher(tracking).fetch(RUN_ID)
        assert server.authorizations == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert Fetcher(tracking).fetch(RUN_ID).curves["loss"].values.tolist() == [1.0]


def test_a_server_may_want_a_certificate_of_its_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    context = authority.server_for_its_clients("127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    with serving(mlflow(loss=[(0, 1.0, 1)]), context) as server:
        own = {"MLFLOW_TRACKING_URI": server.address, "MLFLOW_TRACKING_SERVERS": f"other={server.address}"}
        own["MLFLOW_TRACKING_CLIENT_CERT_PATH"] = str(authority.issue("worker"))
        servers = Settings.read(own).tracking_servers
        assert Fetcher(servers["default"]).fetch(RUN_ID).curves["loss"].values.tolist() == [1.0]
        assert ask(servers["default"], PATIENCE) is None
        with pytest.raises(TransientError, match="does not answer"):
            Fetcher(servers["other"]).fetch(RUN_ID)
    with pytest.raises(SettingError, match=r"MLFLOW_TRACKING_CLIENT_CERT_PATH: .*is not a file"):
        Settings.read({"MLFLOW_TRACKING_CLIENT_CERT_PATH": "/nowhere.pem"})


def test_a_refused_connection_is_transient() -> None:
    with serving(mlflow()) as server:
        pass
    server_gone = TrackingServer.at("default", server.address.replace("//", "//ada:s3cret@"))
    with pytest.raises(TransientError, match="does not answer") as caught:
        Fetcher(server_gone).fetch(RUN_ID)
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallServer]:
    """A fake of Google's token service, and a service account that uses it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def answer(_: str, __: Any, body: bytes) -> Answer:
        asked = jwt.decode(body.decode().partition("assertion=")[2], verify=False)
        token = jwt.encode(_signer(pem), {"aud": asked["target_audience"], "exp": int(time.time()) + 3600})
        return 200, json.dumps({"id_token": token.decode()}).encode(), {"Content-Type": "application/json"}

    with serving(answer) as server:
        account = {
            "type": "service_account",
            "client_email": "w@example.iam",
            "private_key": pem,
            "token_uri": server.address,
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        yield server


def _signer(pem: str) -> Any:
    from google.auth.crypt import RSASigner

    return RSASigner.from_string(pem)


def test_an_identity_token_is_requested_once(google: SmallServer) -> None:
    tracking = TrackingServer.at("default", "https://mlflow.example/prefix", google=True)
    tokens = {tracking.authorization() for _ in range(3)}
    assert len(google.authorizations) == 1
    [header] = tokens
    assert header
    assert jwt.decode(header.removeprefix("Bearer "), verify=False)["aud"] == "https://mlflow.example"


def test_google_is_used_only_for_https_without_other_credentials() -> None:
    assert TrackingServer.at("default", "http://mlflow.example", google=True).authorization() is None
    assert TrackingServer.at("default", "https://token@mlflow.example", google=True).authorization() == "Bearer token"


def test_google_without_an_account_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(TransientError, match=r"no identity token for https://mlflow\.example"):
        GoogleIdentity("https://mlflow.example").token()
