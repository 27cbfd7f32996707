"""The command line of the embedded Pub/Sub server."""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys

from deploy.local.pubsub.server import Server
from deploy.local.pubsub.storage import Storage

_EXAMPLE = """example:
  python -m deploy.local.pubsub --port 8085 --data var/pubsub.sqlite3
  PUBSUB_EMULATOR_HOST=127.0.0.1:8085 python your_program.py"""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Serve until SIGTERM or SIGINT, then end within seconds.

    Exit code 1 with one line on stderr if the port or the file is not available.
    """
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.pubsub",
        description="A Pub/Sub server for development: the google.pubsub.v1 gRPC API, durable in one SQLite file.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8085, help="port to listen on; 0 picks a free one (%(default)s)")
    parser.add_argument(
        "--data", required=True, metavar="PATH", help="SQLite file that keeps everything; created if absent"
    )
    options = parser.parse_args()
    # The server's threads inherit this, so that no other thread than this one gets the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        storage = Storage(options.data)
    except sqlite3.Error as error:
        print(f"pubsub: cannot use {options.data}: {error}", file=sys.stderr)
        return 1
    try:
        server = Server(storage, options.host, options.port)
    except OSError as error:
        print(f"pubsub: {error}", file=sys.stderr)
        return 1
    print(f"pubsub: ready on {options.host}:{server.port}, data in {options.data}", flush=True)
    signal.sigwait(_STOP_SIGNALS)
    server.stop()
    # At a normal exit Python waits without limit for the threads of calls that have not noticed their end.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
