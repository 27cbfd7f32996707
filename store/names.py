"""Look-ups of host names within a time: getaddrinfo itself has no bound."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from ipaddress import ip_address

_lock = threading.Lock()
_running: dict[tuple[str, int], Future[list[str]]] = {}


def addresses_of(host: str, port: int, seconds: float) -> list[str]:
    """The host's addresses, in the order in which they should be tried.

    Raises OSError if it has none, or if the resolver doesn't answer within ``seconds``. A resolver that hangs holds one
    thread a name, however many ask.
    """
    with suppress(ValueError):
        return [str(ip_address(host))]
    key = (host, port)
    with _lock:
        found = _running.get(key)
        if found is None:
            found = _begin(key)
    try:
        return found.result(seconds)
    except Late:
        raise OSError(f"no answer about the name {host!r} within {seconds:g} s") from None


def _begin(key: tuple[str, int]) -> Future[list[str]]:
    found: Future[list[str]] = Future()
    try:
        threading.Thread(target=_look_up, args=(key, found), name="resolver", daemon=True).start()
    except RuntimeError as error:
        raise OSError(f"the name {key[0]!r} can't be looked up: {error}") from error
    # It ends no sooner: it needs the lock.
    _running[key] = found
    return found


def _look_up(key: tuple[str, int], found: Future[list[str]]) -> None:
    try:
        answers = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
        found.set_result(list(dict.fromkeys(str(answer[4][0]) for answer in answers)))
    except (OSError, UnicodeError) as error:
        found.set_exception(error)
    finally:
        with _lock:
            del _running[key]
