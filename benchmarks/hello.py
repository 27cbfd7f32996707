"""Hello, world, to compare reads to: as a view among the webapp's own middlewares (``DJANGO_SETTINGS_MODULE`` is
``benchmarks.hello_settings``), and as ``application``, a Django that has nothing else.
"""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path


def hello(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"hello": "world"})


urlpatterns = [path("api/hello/", hello)]
