"""Static files of other versions of the webapp, which run beside this one during a rollout."""

from __future__ import annotations

import mimetypes
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe


@login_not_required
@require_safe
@never_cache
@gzip_page
def other_version(request: HttpRequest, name: str) -> HttpResponse:
    """This version's file of that name, whatever hash was in the address.

    WhiteNoise serves the files that this version has. While a version replaces another, a page of one may ask the other
    for its script: without one it would stay empty. No cache may keep the answer under that name.
    """
    storage: Any = staticfiles_storage
    ours: str | None = storage.hashed_files.get(name)
    if ours is None:
        raise Http404
    with storage.open(ours) as file:
        return HttpResponse(file.read(), content_type=mimetypes.guess_type(ours)[0])
