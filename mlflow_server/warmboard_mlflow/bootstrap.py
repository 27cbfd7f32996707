"""`python -m warmboard_mlflow.bootstrap`: run MLflow's bootstrap of basic authentication, which creates the admin user.

`mlflow server` runs it only for MLflow's own application name. Without it, a missing password makes every server worker
exit and restart in a loop. Here it exits once, with the reason.
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
