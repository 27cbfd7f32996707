"""Static files: named by their content, compressed once, cached by browsers for ever."""

from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]


class HashedModules(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Rewrites the imports between ES modules to hashed names too, so that no build step is needed."""

    support_js_module_import_aggregation = True
