"""WSGI application for granian that serves the files of ``FLOOR_FOLDER`` like the webapp serves its own: compressed in
advance, scripts and styles cached for ever.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

from whitenoise import WhiteNoise  # type: ignore[import-untyped]


def nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"There is no such file.\n"]


application = WhiteNoise(
    nothing,
    root=os.environ["FLOOR_FOLDER"],
    index_file=True,
    max_age=0,
    immutable_file_test=lambda path, url: url.endswith((".js", ".css")),
)
