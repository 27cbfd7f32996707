"""Hello, world, to compare reads with: behind the webapp's own middleware (``benchmarks.hello_settings``), or alone
(``benchmarks.bare_settings``).
"""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path


def hello(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"hello": "world"})


urlpatterns = [path("api/hello/", hello)]
