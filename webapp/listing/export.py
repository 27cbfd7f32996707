"""Files of the list: all its pages, as CSV or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from webapp.exports import cells
from webapp.listing.api import run_document, unreadable
from webapp.listing.columns import Column, exported
from webapp.listing.find import find
from webapp.listing.measured import Numbers, count_keys
from webapp.listing.rows import choose_keys
from webapp.listing.view import MOST, View, ViewError
from webapp.run.summary import Listed
from webapp.visibility.reader import reader_of

MOST_EXPORTED = 10_000
Pages = Iterator[list[Listed]]


def export(suffix: str) -> Callable[[HttpRequest], HttpResponseBase]:
    """The view of one format: all runs that the list's query string finds, on all pages."""
    media, write = FORMATS[suffix]

    @require_safe
    @never_cache
    @gzip_page
    def answer(request: HttpRequest) -> HttpResponseBase:
        try:
            view = View.read(request.GET)
        except ViewError as error:
            return unreadable(error)
        pages = _pages(view, reader_of(request).hidden)
        # Read before the response starts, so that a database that is down gives 503 and not half a file.
        first = next(pages)
        headers = {"Content-Disposition": f'attachment; filename="runs.{suffix}"'}
        return StreamingHttpResponse(write(view, chain([first], pages)), content_type=media, headers=headers)

    return answer


def _pages(view: View, hidden: frozenset[str]) -> Pages:
    """The pages in the view's order; pinned runs are in their place in it."""
    cursor, left = None, MOST_EXPORTED
    while left:
        page = find(view.query, view.sort, min(left, MOST), cursor, hidden=hidden, pinned_first=False)
        yield page.runs
        cursor, left = page.next, left - len(page.runs)
        if cursor is None:
            return


def _csv(view: View, pages: Pages) -> Iterator[bytes]:
    return cells.pieces(_rows(view, pages))


def _rows(view: View, pages: Pages) -> Iterator[list[list[cells.Cell]]]:
    """The rows of each page, the first with the names of the columns in front."""
    columns: list[Column] = []
    numbers = Numbers()
    for runs in pages:
        names: list[list[cells.Cell]] = []
        if not columns:
            keys = view.columns if view.columns is not None else choose_keys(count_keys(runs))
            columns, numbers = exported(keys), Numbers.of(keys)
            names = [[column.name for column in columns]]
        measured = numbers.measured(runs)
        yield names + [[column.value(listed) for column in columns if column.value] for listed in measured]


def _json(view: View, pages: Pages) -> Iterator[bytes]:
    """JSON of the runs, as in ``GET /api/runs/``."""
    yield b'{"runs": ['
    separator, numbers = "", Numbers.of(view.columns or ())
    for runs in pages:
        for listed in numbers.measured(runs):
            document = json.dumps(run_document(listed, view), cls=DjangoJSONEncoder, allow_nan=False)
            yield f"{separator}{document}".encode()
            separator = ",\n"
    yield b"]}"


FORMATS = {"csv": (cells.MEDIA, _csv), "json": ("application/json", _json)}
