"""rediss://: both clients check the certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kombu import Connection

from store.connection import connect, tls_options
from warmboard.contract.settings import REDIS_URL, SettingError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of ``localhost``, with its key."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    authority = x509.BasicConstraints(ca=True, path_length=None)
    made = (
        builder.add_extension(names, critical=False).add_extension(authority, critical=True).sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def server(certificate: Path) -> Iterator[int]:
    """A port with TLS and, behind it, as much of Redis as answers a PING and whatever comes before."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, context), daemon=True).start()
        yield listener.getsockname()[1]


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(plain, server_side=True) as connection:
                while received := connection.recv(4096):
                    connection.sendall(b"+PONG\r\n" if b"PING" in received else b"+OK\r\n" * received.count(b"*"))
        except OSError:
            plain.close()


def ping_by_redis(url: str) -> Any:
    return connect(url, seconds=20).ping()


def ping_by_kombu(url: str) -> Any:
    with Connection(url, ssl=tls_options(url), connect_timeout=20) as connection:
        return connection.channel().client.ping()


@pytest.mark.parametrize("ping", [ping_by_redis, ping_by_kombu])
def test_a_certificate_is_checked(server: int, certificate: Path, ping: Any) -> None:
    trusted = f"?ssl_ca_certs={certificate}"
    assert ping(f"rediss://localhost:{server}/0{trusted}")
    for url in (f"rediss://localhost:{server}/0", f"rediss://127.0.0.1:{server}/0{trusted}"):
        with pytest.raises((redis.ConnectionError, Exception), match="certificate verify failed"):
            ping(url)


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_NONE", "ssl_check_hostname=false"])
def test_an_address_that_checks_nothing_is_refused(option: str) -> None:
    with pytest.raises(SettingError, match=f"REDIS_URL: .*has {option}: certificates are always verified"):
        REDIS_URL.read({"REDIS_URL": f"rediss://redis.example/0?{option}"})
    assert REDIS_URL.read({"REDIS_URL": "rediss://redis.example/0?ssl_cert_reqs=required"})


def test_only_addresses_with_tls_have_options() -> None:
    assert tls_options("redis://localhost") is None
    assert tls_options("rediss://localhost/?ssl_ca_certs=/ca.pem&x=1") == {
        "ssl_ca_certs": "/ca.pem",
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
    }
