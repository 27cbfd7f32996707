"""Flower, which answers its own host names only: ``python -m workers.flower CELERY ARGUMENTS``.

Flower itself answers any. So a page on the internet could have its name resolve to this machine, and read Flower as the
same origin, from the browser of someone who may open it.
"""

from __future__ import annotations

import sys
from typing import Any

from celery.__main__ import main
from flower import command
from flower.app import Flower
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from warmboard.contract.settings import FLOWER_HOSTS

HEALTH_CHECK = "/healthcheck"
"""Says nothing but OK, and is asked for by address."""


class Refused(RequestHandler):
    def prepare(self) -> None:
        self.set_status(403)
        self.finish(f"Flower does not answer to the name {self.request.host_name!r}: see FLOWER_HOSTS.\n")


class OwnHosts(Flower):
    """Flower's application with the names of FLOWER_HOSTS."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._names = frozenset(name.lower() for name in FLOWER_HOSTS.read())

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> Any:
        if request.host_name.lower() in self._names or request.path == HEALTH_CHECK:
            return super().find_handler(request, **options)
        return self.get_handler_delegate(request, Refused)


if __name__ == "__main__":
    command.Flower = OwnHosts
    sys.argv[0] = "celery"
    sys.exit(main())
