"""The schemas of kinds that are not Kubernetes' own: ``python -m deploy.checks.kubernetes.crds FILE…`` prints them.

The files are CustomResourceDefinitions of these releases, of which ``crds.json`` has the schemas without their texts:

- kedacore/keda v2.20.2, ``config/crd/bases/``: ``keda.sh_scaledobjects.yaml``, ``keda.sh_triggerauthentications.yaml``
- prometheus-operator/prometheus-operator v0.93.0, ``example/prometheus-operator-crd/``:
  ``monitoring.coreos.com_podmonitors.yaml``
- GoogleCloudPlatform/prometheus-engine, chart 0.17.3, ``charts/operator/crds/``:
  ``monitoring.googleapis.com_podmonitorings.yaml``

All are under the Apache license 2.0.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).with_name("crds.json")
KEPT = frozenset({"type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"})


def schemas(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """``apiVersion/kind`` and a strict JSON schema of the version that a definition stores."""
    for definition in yaml.safe_load_all(file.read_text()):
        spec = definition["spec"]
        for version in spec["versions"]:
            if version["storage"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"].pop("status", None)
                # Kubernetes' own fields, which a definition does not repeat.
                schema["properties"]["metadata"] = {"type": "object"}
                yield f"{spec['group']}/{version['name']}/{spec['names']['kind']}", schema


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema, which allows no field that it doesn't name."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found = {key: value for key, value in schema.items() if key in KEPT}
    if "items" in schema:
        found["items"] = strict(schema["items"])
    if "properties" in schema:
        found["properties"] = {name: strict(each) for name, each in schema["properties"].items()}
        found["required"] = schema.get("required", [])
        found["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    elif isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = strict(schema["additionalProperties"])
    return found


def dumped(found: Mapping[str, Any]) -> str:
    """As they are committed: a line for each kind."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found))
    return f"{{\n{lines}\n}}\n"


if __name__ == "__main__":
    sys.stdout.write(dumped({name: schema for file in sys.argv[1:] for name, schema in schemas(Path(file))}))
