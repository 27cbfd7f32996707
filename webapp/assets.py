"""Static files: one script and one style sheet a page, named by their content, compressed, cached for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage
from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]

from webapp import bundles

UPLOT = "vendor/uplot-1.6.32/uPlot.iife.min.js"
"""A classic script: npm's package has no minified module."""
SCRIPTS = {"base": [], "compare": [UPLOT], "copy": [], "operations": [], "run": [UPLOT], "runs": []}
"""Pages' modules, by name, each with the classic scripts that it needs."""
STYLES = ["compare", "run"]

Paths = Mapping[str, tuple[Storage, str]]
"""Each file's name, and where its text is: a storage, and its name there."""


class BundledAssets(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Bundles what each page loads, and leaves out the modules that are nothing but parts of it: every file of thirty
    costs a browser a request. There is no further build step.
    """

    def post_process(self, paths: Paths, dry_run: bool = False, **options: Any) -> Iterator[Any]:
        if dry_run:
            return
        served = _bundled(paths)
        yield from super().post_process(served, **options)
        for part in paths.keys() - served.keys():
            self.delete(part)


def _bundled(paths: Paths) -> Paths:
    def read(name: str) -> str:
        if name not in paths:
            raise bundles.BundleError(f"{name} is imported, but there is no such file")
        storage, path = paths[name]
        with storage.open(path) as file:
            return str(file.read().decode())

    made, parts = InMemoryStorage(), set[str]()
    for page, needed in SCRIPTS.items():
        text, modules = bundles.script(f"webapp/{page}.js", read)
        made.save(f"webapp/{page}.js", ContentFile("".join([*map(read, needed), text]).encode()))
        parts |= modules | set(needed)
    for page in STYLES:
        made.save(f"webapp/{page}.css", ContentFile(bundles.style(f"webapp/{page}.css", read).encode()))
    entries = [*(f"webapp/{page}.js" for page in SCRIPTS), *(f"webapp/{page}.css" for page in STYLES)]
    return {name: where for name, where in paths.items() if name not in parts} | {
        name: (made, name) for name in entries
    }
