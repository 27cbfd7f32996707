"""The WSGI application: Django, which tells the server the route of each request, for its metrics."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

import django
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponseBase

from store import logs
from warmboard.contract.settings import GOOGLE_CLOUD_PROJECT, LOG_FORMAT, LOG_LEVEL

ROUTE = "warmboard.route"
"""The key in the environ; empty if no view was found."""


class Handler(WSGIHandler):
    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        response = super().get_response(request)
        match: Any = request.resolver_match
        request.META[ROUTE] = match.route if match else getattr(request, "route", "")
        return response


logs.configure(LOG_LEVEL.read(), LOG_FORMAT.read(), GOOGLE_CLOUD_PROJECT.read())
django.setup(set_prefix=False)
application = Handler()
