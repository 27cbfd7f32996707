"""Each manifest against the schema of its kind: no field that Kubernetes does not know, none of another type.

Those of Kubernetes' own kinds are the strict ones of the package kubernetes-validate, whose command stops at the first
mistake of a manifest, and reads a megabyte again for each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from deploy.checks.fault import Fault
from deploy.checks.kubernetes.crds import SCHEMAS
from deploy.checks.kubernetes.rendered import Manifest

VERSIONS = ("1.33", "1.37")
"""The oldest version of Kubernetes for which the manifests are meant, and the newest whose schemas we have."""
PACKAGE = files("kubernetes_validate") / "kubernetes-json-schema"


def faults(manifests: Iterable[Manifest]) -> Iterator[Fault]:
    for manifest in manifests:
        if schema := others().get(f"{manifest.given['apiVersion']}/{manifest.kind}"):
            yield from _faults(manifest, Draft202012Validator(schema))
            continue
        for version in VERSIONS:
            try:
                validator = _own(version, manifest.given["apiVersion"], manifest.kind)
            except FileNotFoundError:
                kind = f"{manifest.given['apiVersion']} {manifest.kind}"
                yield manifest.fault(f"Kubernetes {version} has no {kind}, and crds.json no schema of it", "kind:")
            else:
                yield from _faults(manifest, validator)


@cache
def others() -> dict[str, Any]:
    """The schemas of kinds that are not Kubernetes' own, by ``apiVersion/kind``."""
    found: dict[str, Any] = json.loads(SCHEMAS.read_text())
    return found


@cache
def _own(version: str, api: str, kind: str) -> Draft202012Validator:
    """Raises FileNotFoundError if Kubernetes has no such kind. ``batch/v1`` is ``-batch-v1`` in the file's name."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    schema = _read(version, f"{kind.lower()}-{group}")
    return Draft202012Validator(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> Any:
    return Resource.from_contents(_read(version, "_definitions")) @ Registry()


def _read(version: str, name: str) -> Any:
    return json.loads((PACKAGE / f"v{version}.0-local-strict" / f"{name}.json").read_text())


def _faults(manifest: Manifest, validator: Draft202012Validator) -> Iterator[Fault]:
    for error in validator.iter_errors(manifest.given):
        where = ".".join(map(str, error.absolute_path))
        of = error.instance if isinstance(error.instance, dict) else {}
        unknown = [f"{name}:" for name in of if f"'{name}'" in error.message]
        field = [f"{step}:" for step in error.absolute_path if isinstance(step, str)][-1:]
        yield manifest.fault(f"{where}: {error.message}", *(unknown or field))
