"""Template loaders that leave out indentation: it is for readers of templates, and a list of 100 rows repeats it."""

from __future__ import annotations

import re

from django.template import Origin
from django.template.loaders import app_directories, filesystem

INDENTATION = re.compile(r"\n\s+")


class _Compact(filesystem.Loader):
    """Drops indentation and empty lines. A line break stays, which HTML shows as a space. Templates must therefore keep
    the content of ``<pre>`` and ``<textarea>`` in one line; a test checks it.
    """

    def get_contents(self, origin: Origin) -> str:
        return INDENTATION.sub("\n", super().get_contents(origin))


class FolderLoader(_Compact):
    """Templates of the folders in ``DIRS``."""


class AppLoader(_Compact, app_directories.Loader):
    """Templates of the installed apps."""
