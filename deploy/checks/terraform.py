"""Where the Terraform files are, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.checks.hcl import Block, read

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "gcp" / "terraform"
SCHEMA = Path(__file__).with_name("provider.json")


def modules(folder: Path = FOLDER) -> list[Path]:
    """The folder of each module, root modules among them."""
    return sorted({file.parent for file in folder.rglob("*.tf")})


def environments(folder: Path = FOLDER) -> list[Path]:
    """The folder of each root module."""
    return sorted(path for path in (folder / "envs").iterdir() if path.is_dir())


def blocks(folder: Path = FOLDER) -> Iterator[Block]:
    """The blocks of all files. Raises UnreadableError."""
    return (block for module in modules(folder) for block in read(module))
