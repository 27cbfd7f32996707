"""Where tests find the repository's files."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "warmboard" / "contract" / "examples"
"""The golden events and entries of the contract."""
