"""Static files: one script and one style sheet a page, named by their content, compressed, cached for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage
from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]

from webapp.assets import bundles

UPLOT = "vendor/uplot-1.6.32/uPlot.iife.min.js"
"""A classic script: npm's package has no minified module."""
UPLOT_MODULE = """const uPlot = ((Intl) => {{
{text}
return uPlot;
}})({{
NumberFormat: function (language) {{ this.format = (value) => new Intl.NumberFormat(language).format(value); }},
DateTimeFormat: function () {{ this.resolvedOptions = () => ({{}}); }},
}});
"""
"""uPlot with an Intl that makes a format when it is used. By itself uPlot makes two at once, which takes a new browser
process 17 ms; charts that bring the texts of their ticks, in the browser's own time zone, as ours, use neither.
"""
SCRIPTS = {"base": False, "compare": True, "copy": False, "operations": False, "run": True, "runs": False}
"""Pages' modules, by name; whether they draw with uPlot."""
STYLES = ["compare", "run", "runs", "style"]

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

    def read_part(name: str) -> str:
        parts.add(name)
        return read(name)

    for page, draws in SCRIPTS.items():
        text, modules = bundles.script(f"webapp/{page}.js", read)
        uplot = UPLOT_MODULE.format(text=read(UPLOT)) if draws else ""
        made.save(f"webapp/{page}.js", ContentFile((uplot + text).encode()))
        parts |= modules
    parts.add(UPLOT)
    for page in STYLES:
        made.save(f"webapp/{page}.css", ContentFile(bundles.style(f"webapp/{page}.css", read_part).encode()))
    entries = [*(f"webapp/{page}.js" for page in SCRIPTS), *(f"webapp/{page}.css" for page in STYLES)]
    return {name: where for name, where in paths.items() if name not in parts} | {
        name: (made, name) for name in entries
    }
