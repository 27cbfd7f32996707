"""Connections that send or read as slowly as they can, from raw sockets: what an attacker opens by the dozen.

For tests and for ``benchmarks/slow.py``. Each kind takes the server as far as it goes, then holds on.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

EVERY = 0.5
"""Seconds between the bytes of a slow client."""
FEW = 1024
"""Bytes of its own receive buffer: the rest of an answer waits at the server."""
Client = Callable[[socket.socket, threading.Event], None]


def slow_headers(connection: socket.socket, stop: threading.Event) -> None:
    """A head of which a byte arrives now and then."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    _drip(connection, stop)


def slow_body(path: str) -> Client:
    """A form of which a byte arrives now and then."""

    def client(connection: socket.socket, stop: threading.Event) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n"
        connection.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nusername=".encode())
        _drip(connection, stop)

    return client


def slow_reader(path: str, headers: str = "") -> Client:
    """A reader that takes a byte of its answer now and then. ``headers``: lines, each with its end."""

    def client(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        while not stop.wait(EVERY):
            connection.recv(1)

    return client


def silent(_: socket.socket, stop: threading.Event) -> None:
    """A connection that says nothing."""
    stop.wait()


@contextmanager
def slow_clients(port: int, client: Client, count: int) -> Iterator[None]:
    """So many clients of one kind, each with a connection; one that the server closes comes again."""
    stop = threading.Event()
    threads = [threading.Thread(target=_again, args=(port, client, stop), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _again(port: int, client: Client, stop: threading.Event) -> None:
    while not stop.is_set():
        with suppress(OSError), socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW)
            connection.settimeout(5)
            connection.connect(("127.0.0.1", port))
            client(connection, stop)
        stop.wait(EVERY)


def _drip(connection: socket.socket, stop: threading.Event) -> None:
    while not stop.wait(EVERY):
        connection.sendall(b"x")
