"""``python -m webapp``: serve the webapp, or manage its database, users and static files."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass

from warmboard.contract.settings import (
    LOG_FORMAT,
    LOG_LEVEL,
    METRICS_HOST,
    METRICS_PORT,
    WEBAPP_HOST,
    WEBAPP_PORT,
    WEBAPP_PROCESSES,
    SettingError,
)

EXAMPLES = """examples:
  python -m webapp manage migrate                  create or update the tables
  python -m webapp manage account NAME --group viewer
                                                   create an account; editors and operators may do more
  python -m webapp manage visibility EXPERIMENT --only-for TEAM
                                                   hide an experiment from all but a group's members
  python -m webapp manage backup FILE              write a backup of the store, while everything runs; restore reads it
  python -m webapp manage collectstatic --noinput  collect the static files; required before serving
  python -m webapp serve                           serve on WEBAPP_HOST:WEBAPP_PORT until SIGTERM
"""


@dataclass(frozen=True)
class ServeSettings:
    """Where and how to serve."""

    host: str
    port: int
    processes: int
    log_level: str
    log_format: str
    metrics_host: str
    metrics_port: int

    @classmethod
    def read(cls) -> ServeSettings:
        """Raises SettingError."""
        return cls(
            host=WEBAPP_HOST.read(),
            port=WEBAPP_PORT.read(),
            processes=WEBAPP_PROCESSES.read(),
            log_level=LOG_LEVEL.read(),
            log_format=LOG_FORMAT.read(),
            metrics_host=METRICS_HOST.read(),
            metrics_port=METRICS_PORT.read(),
        )


def main(arguments: list[str]) -> int:
    """Run the command. Returns the exit code: 0, or 2 if a setting is invalid."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    try:
        settings = ServeSettings.read()
        _check_django_settings()
        if options.command == "serve":
            _require_static_files()
            _serve(settings)
        else:
            _manage(options.arguments)
    except SettingError as error:
        print(f"webapp: {error}", file=sys.stderr)
        return 2
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
    """Read all settings before processes start, so that an invalid one gives one line, not a traceback from each."""
    import django

    django.setup()


def _require_static_files() -> None:
    from django.conf import settings

    if not (settings.STATIC_ROOT / "staticfiles.json").is_file():
        raise SettingError(
            f"WEBAPP_STATIC_ROOT: {str(settings.STATIC_ROOT)!r} contains no static files. "
            "Run `python -m webapp manage collectstatic --noinput` first"
        )


def _serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT, which also end the child processes."""
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    from store import logs, metrics

    if settings.metrics_port:
        metrics.share()
        metrics.serve(settings.metrics_host, settings.metrics_port)
    granian_too = {"level": settings.log_level, "handlers": ["program"], "propagate": False}
    config = logs.config(settings.log_level, settings.log_format)
    config["loggers"] |= {"_granian": granian_too, "granian.access": granian_too}
    Server(
        "webapp.serving.gateway:gateway",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        workers=settings.processes,
        # Only then does granian bound the time in which a connection sends its first byte.
        http=HTTPModes.http1,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=5,
        log_level=LogLevels(settings.log_level.lower()),
        log_dictconfig=config,
    ).serve()
    metrics.forget()


def _manage(arguments: list[str]) -> None:
    from django.conf import settings
    from django.core.management import execute_from_command_line

    # A migration of a large table may take hours.
    settings.DATABASES["default"]["OPTIONS"].pop("statement_seconds", None)
    execute_from_command_line(["python -m webapp manage", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
