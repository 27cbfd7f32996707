from __future__ import annotations

from trainer.__main__ import quiet_tensorflow

# Before any test module imports it.
quiet_tensorflow()
