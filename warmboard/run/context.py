"""Who runs what, in the tags with which MLflow's own client says it."""

from __future__ import annotations

import getpass
import os
import sys
from contextlib import suppress

USER, SOURCE, SOURCE_TYPE = "mlflow.user", "mlflow.source.name", "mlflow.source.type"


def context_tags() -> dict[str, str]:
    """The user of this process and its script, by the rules of MLflow's default context; without what is not known."""
    tags = {SOURCE_TYPE: "LOCAL"}
    # A path need not be text, MLflow's JSON has to be.
    if script := os.fsencode(next(iter(sys.argv), "")).decode(errors="replace"):
        tags[SOURCE] = script
    # In a container the user may have no name.
    with suppress(KeyError, OSError, ImportError):
        tags[USER] = getpass.getuser()
    return tags
