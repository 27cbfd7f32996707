"""``python -m warmboard.contract.settings`` prints the reference page of all settings."""

from __future__ import annotations

from warmboard.contract.settings import SETTINGS


def reference() -> str:
    """Return the reference page of all settings, in Markdown."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. A program reads its settings once, at its start.",
        "",
    ]
    lines += ["| variable | default | read by | meaning |", "|---|---|---|---|"]
    for setting in sorted(SETTINGS.values(), key=lambda setting: setting.name):
        default = "*required*" if setting.default is None else f"`{setting.default}`" if setting.default else "unset"
        lines.append(f"| `{setting.name}` | {default} | {', '.join(setting.programs)} | {setting.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
