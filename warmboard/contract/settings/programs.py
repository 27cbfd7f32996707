"""What several programs read."""

from __future__ import annotations

from warmboard.contract.settings.parsers import choice, folder, optional
from warmboard.contract.settings.setting import Setting

OUTPUT_URI = Setting(
    "OUTPUT_URI",
    folder,
    ".warmboard/output",
    "Where a run leaves its files, mlflow_info.json among them: gs://BUCKET/PATH or a folder. The workers' sweep looks"
    " there for runs that no event announced.",
    ("trainer", "workers"),
)
STORAGE_EMULATOR_HOST = Setting(
    "STORAGE_EMULATOR_HOST",
    optional,
    "",
    "Address of a Cloud Storage emulator, http://HOST:PORT. Unset: Google's Cloud Storage.",
    ("trainer", "workers"),
)
LOG_LEVEL = Setting(
    "LOG_LEVEL",
    choice("DEBUG", "INFO", "WARNING", "ERROR"),
    "INFO",
    "The least level that is logged.",
    ("trainer", "workers", "webapp"),
)
