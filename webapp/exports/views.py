"""The views of the exports."""

from __future__ import annotations

import re
from enum import StrEnum

from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.gzip import gzip_page

from webapp.api.operation import Operation, describes
from webapp.api.parameters import BadRequest, Parameter, choice
from webapp.api.reading import NO_STORE, NotWarm, View, not_warm, of_seen_run, reading
from webapp.api.shapes import Export
from webapp.exports.formats import FORMATS, Format
from webapp.exports.read import Changing, NotWhole, UnknownMetric, whole_run

MOST_NAMED = 200
"""Max number of known metrics in the error of an unknown one."""


class Bins(StrEnum):
    WITHOUT = "without"
    WITH = "with"


def _names(text: str) -> list[str]:
    """Raises ValueError."""
    names = list(dict.fromkeys(name for name in text.split(",") if name))
    if not names:
        raise ValueError("is empty")
    return names


METRICS: Parameter[list[str] | None] = Parameter(
    "metrics",
    "Only these metrics, in this order; separated by commas.",
    {"type": "string", "pattern": "[^,]"},
    _names,
)
HISTOGRAMS = choice("histograms", Bins, "`with`: also the bins of the histograms, one column each.", Bins.WITHOUT)


def export(format_: Format) -> View:
    """The view of one format."""
    shape = Export | NotWarm if format_.suffix == "json" else NotWarm
    busy = {503: "The run is being warmed. Retry in a second."}
    media = format_.media.partition(";")[0]

    def view(request: HttpRequest, run_id: str) -> HttpResponseBase:
        wanted, bins = METRICS.read(request), HISTOGRAMS.read(request)
        try:
            run = whole_run(run_id, wanted, bins is Bins.WITH)
        except UnknownMetric as error:
            raise BadRequest("metrics", str(error), error.known[:MOST_NAMED]) from None
        except (Changing, NotWhole) as error:
            reason = f"{error}. Retry in a second." if isinstance(error, NotWhole) else busy[503]
            return JsonResponse({"error": reason}, status=503, headers=NO_STORE | {"Retry-After": "1"})
        if run is None:
            return not_warm(run_id)
        name = file_name(run.history["run_name"], run_id, format_.suffix)
        return StreamingHttpResponse(
            format_.write(run),
            content_type=format_.media,
            headers=NO_STORE | {"Content-Disposition": f'attachment; filename="{name}"'},
        )

    described = describes(Operation(format_.title, shape, [METRICS, HISTOGRAMS], "Exports", media, errors=busy))
    seen = of_seen_run(view)
    return described(reading(seen if format_.compressed else gzip_page(seen)))


def file_name(run_name: str, run_id: str, suffix: str) -> str:
    """A file name that every system allows: letters, digits, dots, dashes and underscores, no dot in front."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", run_name)[:60].strip("-.")
    return f"{words}-{run_id}.{suffix}" if words else f"{run_id}.{suffix}"


EXPORTS = {format_.suffix: export(format_) for format_ in FORMATS}
