"""Static files: named by their content, compressed once, cached by browsers for ever."""

from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]


class HashedModules(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Rewrites the imports between ES modules to hashed names too, so that no build step is needed."""

    # A changed name changes the names of those that import it, one further with each pass.
    max_post_process_passes = 20
    support_js_module_import_aggregation = True
