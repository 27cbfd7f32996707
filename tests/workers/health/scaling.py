"""The query by which KEDA sets the number of workers."""

from __future__ import annotations

import yaml
from django.db import connection

from tests.paths import ROOT

FILE = ROOT / "deploy" / "kubernetes" / "components" / "scaling" / "worker.yaml"


def unfinished() -> int:
    """What the query counts now."""
    [scaler] = [each for each in yaml.safe_load_all(FILE.read_text()) if each["kind"] == "ScaledObject"]
    [trigger] = scaler["spec"]["triggers"]
    with connection.cursor() as cursor:
        cursor.execute(trigger["metadata"]["query"])
        [(count,)] = cursor.fetchall()
    return int(count)
