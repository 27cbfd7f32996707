"""`python -m warmboard_mlflow.bootstrap`: MLflow's check of its basic authentication, which makes the administrator.

`mlflow server` does it for its own application's name alone. Without it a missing password ends every worker that
starts, over and over, where this ends once, with the reason.
"""

from __future__ import annotations

import sys

from mlflow.exceptions import MlflowException
from mlflow.server import _bootstrap_basic_auth


def main() -> int:
    try:
        _bootstrap_basic_auth()
    except MlflowException as error:
        print(f"mlflow_server: {error.message}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
