"""sslmode=verify-full: the certificate of PostgreSQL is checked, and for the name in the address."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.db.utils import ConnectionHandler, OperationalError

from store.settings import _database
from tests.certificates import Authority

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
INSIDE = b"SFATAL\x00C57P03\x00Mthis is inside of TLS\x00\x00"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Iterator[int]:
    """A port with as much of PostgreSQL as begins TLS, with a certificate of ``localhost``, and then says so. The
    PostgreSQL of our tests is built without TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("localhost"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, context), daemon=True).start()
        yield listener.getsockname()[1]


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        with plain, suppress(OSError):
            if plain.recv(8) == SSL_REQUEST:
                plain.sendall(b"S")
                with context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(4096)
                    connection.sendall(b"E" + (len(INSIDE) + 4).to_bytes(4) + INSIDE)
                    connection.recv(1)


def connect(host: str, port: int, mode: str, trusted: Path) -> None:
    url = f"postgresql://warmboard@{host}:{port}/warmboard?sslmode={mode}&sslrootcert={trusted}"
    ConnectionHandler({"default": _database(url)})["default"].ensure_connection()


def test_the_certificate_of_the_database_is_checked(server: int, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").file
    with pytest.raises(OperationalError, match="this is inside of TLS"):
        connect("localhost", server, "verify-full", authority.file)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        connect("localhost", server, "verify-full", other)
    # We look names up ourselves: the name is checked all the same.
    with pytest.raises(OperationalError, match=r'does not match host name "127\.0\.0\.1"'):
        connect("127.0.0.1", server, "verify-full", authority.file)
    with pytest.raises(OperationalError, match="this is inside of TLS"):
        connect("127.0.0.1", server, "verify-ca", authority.file)
