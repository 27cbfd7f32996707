"""The bulk route behind MLflow's basic authentication: who may read, and that MLflow agrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mlflow_server.servers import BULK, ENTRYPOINT, Server, new_database, started
from tests.waiting import PATIENCE

pytestmark = pytest.mark.integration
ADMIN = ("admin", "only-for-tests-only-for-tests")
PASSWORD = "only-for-tests-of-readers"  # noqa: S105


@dataclass(frozen=True)
class Guarded:
    """A server with two experiments of one run each, and users with different permissions."""

    server: Server
    runs: dict[str, str]
    """`shown`, `hidden` → run ID."""

    def status(self, user: str | None, run: str = "shown", **parameters: str) -> int:
        return self.server.history(self.runs.get(run, run), auth=self.credentials(user), params=parameters).status_code

    @staticmethod
    def credentials(user: str | None) -> tuple[str, str] | None:
        return ADMIN if user == "admin" else (user, PASSWORD) if user else None


CLOSED = {"default": "NO_PERMISSIONS", "fail_closed": "true", "options": []}
OPEN = {"default": "READ", "fail_closed": "false", "options": ["--gunicorn-opts=--threads=2"]}


@pytest.fixture(scope="module", params=[CLOSED, OPEN], ids=["closed, uvicorn", "open, gunicorn"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("mlflow-access")
    environ = {
        "MLFLOW_BASIC_AUTH": "true",
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": request.param["fail_closed"],
        "MLFLOW_AUTH_CONFIG_PATH": str(configured(folder, request.param["default"])),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only-for-tests",
    }
    command = ["sh", str(ENTRYPOINT), *request.param["options"]]
    with started(folder, new_database(folder), command, **environ) as server:
        runs = {name: new_run(server, name) for name in ("shown", "hidden")}
        for user in ("reader", "stranger"):
            as_admin(server, "2.0", "users/create", username=user, password=PASSWORD)
        grant(server, runs, "reader", "shown", "READ")
        if request.param["default"] == "READ":
            grant(server, runs, "reader", "hidden", "DENY")
            grant(server, runs, "stranger", "shown", "DENY")
        yield Guarded(server, runs)


def configured(folder: Path, default: str) -> Path:
    """A server that caches credentials for a minute: each check takes a fifth of a second."""
    path = folder / "basic_auth.ini"
    lines = [f"default_permission = {default}", f"database_uri = sqlite:///{folder}/users.sqlite3"]
    path.write_text("\n".join(["[mlflow]", *lines, "admin_username = admin", "auth_cache_ttl_seconds = 60"]))
    return path


def as_admin(server: Server, version: str, route: str, /, **document: str) -> dict[str, dict[str, dict[str, str]]]:
    response = server.post(f"/api/{version}/mlflow/{route}", json=document, auth=ADMIN)
    assert response.status_code == 200, response.text
    answer: dict[str, dict[str, dict[str, str]]] = response.json()
    return answer


def new_run(server: Server, name: str) -> str:
    experiment = str(as_admin(server, "2.0", "experiments/create", name=name)["experiment_id"])
    return as_admin(server, "2.0", "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]


def grant(server: Server, runs: dict[str, str], user: str, name: str, permission: str) -> None:
    run = server.get("/api/2.0/mlflow/runs/get", params={"run_id": runs[name]}, auth=ADMIN).json()["run"]
    document = {"username": user, "resource_type": "experiment", "permission": permission}
    as_admin(server, "3.0", "users/permissions/grant", resource_id=run["info"]["experiment_id"], **document)


@pytest.mark.parametrize(
    ("user", "run", "status"),
    [
        (None, "shown", 401),
        ("unknown", "shown", 401),
        ("stranger", "shown", 403),
        ("reader", "shown", 200),
        ("reader", "hidden", 403),
        ("reader", "0" * 32, 403),
        ("admin", "hidden", 200),
        ("admin", "0" * 32, 404),
    ],
)
def test_who_may_read_a_run(guarded: Guarded, user: str | None, run: str, status: int) -> None:
    run_id = guarded.runs.get(run, run)
    stock = guarded.server.get("/api/2.0/mlflow/runs/get", params={"run_id": run_id}, auth=guarded.credentials(user))

    assert guarded.status(user, run) == stock.status_code == status


@pytest.mark.parametrize("name", ["run_id", "run_uuid"])
def test_naming_a_run_that_is_shown_does_not_open_one_that_is_hidden(guarded: Guarded, name: str) -> None:
    assert guarded.status("reader", "hidden", **{name: guarded.runs["shown"]}) == 403


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
def test_no_other_method_opens_a_run_that_is_hidden(guarded: Guarded, method: str) -> None:
    address = f"{guarded.server.address}{BULK}/runs/{guarded.runs['hidden']}/history"
    answer = guarded.server.session.request(method, address, auth=guarded.credentials("reader"), timeout=PATIENCE)

    assert answer.status_code >= 400
    assert b'"version"' not in answer.content


def test_everyone_with_an_account_may_read_the_version(guarded: Guarded) -> None:
    def status(user: str | None) -> int:
        return guarded.server.get(f"{BULK}/version", auth=guarded.credentials(user)).status_code

    assert [status(user) for user in (None, "unknown", "stranger", "reader", "admin")] == [401, 401, 200, 200, 200]


def test_a_deleted_run_is_gone_for_those_who_may_read_it(guarded: Guarded) -> None:
    run_id = new_run(guarded.server, "deleted")
    guarded.runs["deleted"] = run_id
    grant(guarded.server, guarded.runs, "reader", "deleted", "READ")
    as_admin(guarded.server, "2.0", "runs/delete", run_id=run_id)

    assert [guarded.status(user, run_id) for user in (None, "reader", "admin")] == [401, 404, 404]
