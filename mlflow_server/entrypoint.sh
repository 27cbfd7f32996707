#!/bin/sh
# Starts MLflow with Warmboard's route. Exits with 2 if the database or the artifact root is not set: MLflow's defaults
# would keep both inside the container, and lose them with it.
set -eu

require() {
    eval "value=\${$1:-}"
    if [ -z "$value" ]; then
        echo "mlflow_server: $1 is not set. $2" >&2
        exit 2
    fi
}
require MLFLOW_BACKEND_STORE_URI "Set it to the tracking database, e.g. postgresql://USER:PASSWORD@HOST/mlflow"
require MLFLOW_ARTIFACT_ROOT "Set it to where artifacts are kept, e.g. gs://BUCKET/mlflow"

# Job runners are unused here, and each is a process of 200 MB.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION="${MLFLOW_SERVER_ENABLE_JOB_EXECUTION:-false}"

# `mlflow server` bootstraps basic authentication only for its own application name, so do it here.
case "${MLFLOW_BASIC_AUTH:-false}" in
    [Tt]rue | TRUE | 1 | [Yy]es | YES)
        app=warmboard-basic-auth
        python -m warmboard_mlflow.bootstrap
        export _MLFLOW_AUTH_ADMIN_BOOTSTRAPPED=true
        # Job runners authenticate to the server's gateway with this token.
        _MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN="$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')"
        export _MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN
        ;;
    [Ff]alse | FALSE | 0 | [Nn]o | NO)
        app=warmboard
        ;;
    *)
        echo "mlflow_server: MLFLOW_BASIC_AUTH: '$MLFLOW_BASIC_AUTH' is neither true nor false." >&2
        exit 2
        ;;
esac

if [ -n "${MLFLOW_ALLOWED_HOSTS:-}" ]; then
    set -- --allowed-hosts "$MLFLOW_ALLOWED_HOSTS" "$@"
fi
exec mlflow server \
    --app-name "$app" \
    --backend-store-uri "$MLFLOW_BACKEND_STORE_URI" \
    --artifacts-destination "$MLFLOW_ARTIFACT_ROOT" \
    --host "${MLFLOW_HOST:-127.0.0.1}" \
    --port "${MLFLOW_PORT:-5000}" \
    --workers "${MLFLOW_WORKERS:-2}" \
    "$@"
