"""``python -m webapp``: serve the webapp, or manage its database, users and static files."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass

from warmboard.contract.settings import LOG_LEVEL, WEBAPP_HOST, WEBAPP_PORT, WEBAPP_PROCESSES, SettingError

EXAMPLES = """examples:
  python -m webapp manage migrate                  create or update the tables
  python -m webapp manage account NAME --group viewer
                                                   add somebody who may sign in; editor and operator may do more
  python -m webapp manage visibility EXPERIMENT --only-for TEAM
                                                   hide an experiment from all but members of a group
  python -m webapp manage collectstatic --noinput  gather the static files; needed before serving
  python -m webapp serve                           serve on WEBAPP_HOST:WEBAPP_PORT until SIGTERM
"""
# Threads of one process; each keeps a database connection.
THREADS = 4


@dataclass(frozen=True)
class ServeSettings:
    """Where and how to serve."""

    host: str
    port: int
    processes: int
    log_level: str

    @classmethod
    def read(cls) -> ServeSettings:
        """Raises SettingError."""
        return cls(WEBAPP_HOST.read(), WEBAPP_PORT.read(), WEBAPP_PROCESSES.read(), LOG_LEVEL.read())


def main(arguments: list[str]) -> int:
    """The exit code: 0, or 2 when a setting can't be used."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    try:
        settings = ServeSettings.read()
        _check_django_settings()
        if options.command == "serve":
            _require_static_files()
    except SettingError as error:
        print(f"webapp: {error}", file=sys.stderr)
        return 2
    if options.command == "serve":
        _serve(settings)
    else:
        _manage(options.arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m webapp", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="serve pages and JSON")
    manage = commands.add_parser("manage", help="run a Django management command", add_help=False)
    manage.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…")
    return parser


def _check_django_settings() -> None:
    """Reads every setting before a process is started, so that a bad one is one line and not a traceback each."""
    import django

    django.setup()


def _require_static_files() -> None:
    from django.conf import settings

    if not (settings.STATIC_ROOT / "staticfiles.json").is_file():
        raise SettingError(
            f"WEBAPP_STATIC_ROOT: {str(settings.STATIC_ROOT)!r} holds no static files yet. "
            "Run `python -m webapp manage collectstatic --noinput` first"
        )


def _serve(settings: ServeSettings) -> None:
    """Serves until SIGTERM or SIGINT, which end the children too."""
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    Server(
        "webapp.wsgi:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.processes,
        blocking_threads=THREADS,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=5,
        log_level=LogLevels(settings.log_level.lower()),
    ).serve()


def _manage(arguments: list[str]) -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(["python -m webapp manage", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
