"""What doctor says of real servers: ours, a stock one, an old one, and one with MLflow's own sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest
import urllib3

from tests.mlflow_server.servers import ADMIN, Server, guarded
from tests.waiting import PATIENCE
from tests.workers.doctor.seen import problems, the_failure, the_warning
from workers.doctor import environment, tracking
from workers.doctor.finding import Finding
from workers.doctor.run import run
from workers.settings import Settings

pytestmark = pytest.mark.integration
PINNED = f"MLflow {version('mlflow')}"
STOCK = "it lacks Warmboard's route, so runs are fetched metric by metric"


@pytest.fixture(scope="module")
def with_sign_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with guarded(tmp_path_factory.mktemp("mlflow-guarded")) as server:
        yield server


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "TIMEOUT", urllib3.Timeout(PATIENCE))


def said(address: str, **environ: str) -> list[Finding]:
    given = {"MLFLOW_TRACKING_URI": address, **environ}
    return run(tracking.checks(Settings.read(given)), environment.read(given), PATIENCE)


def test_servers_without_a_sign_in(stock_mlflow: Server, our_mlflow: Server) -> None:
    found = said(stock_mlflow.address, MLFLOW_TRACKING_SERVERS=f"ours={our_mlflow.address}")
    assert problems(found) == []
    told = {finding.subject: finding.text for finding in found}
    assert told["MLflow default"].startswith(f"{PINNED} answers at {stock_mlflow.address}; {STOCK}")
    assert told["MLflow ours"] == f"{PINNED} answers at {our_mlflow.address}; a run is fetched with one request"


def test_a_name_that_the_server_does_not_accept(stock_mlflow: Server) -> None:
    address = stock_mlflow.address.replace("127.0.0.1", "127.1")
    text = the_failure(said(address))
    assert text.startswith(f"{address} forbids the request (403): Invalid Host header")
    assert f"`mlflow server --allowed-hosts {address.removeprefix('http://')}`" in text


def test_an_old_server(old_mlflow: Server) -> None:
    [found] = said(old_mlflow.address)
    assert problems([found]) == []
    assert found.text.startswith(f"MLflow 2.9.2 answers at {old_mlflow.address}; {STOCK}")


def test_a_server_with_mlflows_api(fasttrackml: Server) -> None:
    [found] = said(fasttrackml.address)
    assert problems([found]) == []
    assert found.text.startswith(
        f"A server with MLflow's API, version 0.6.0, answers at {fasttrackml.address}; {STOCK}"
    )


def test_mlflows_own_sign_in(with_sign_in: Server) -> None:
    address, (admin, password) = with_sign_in.address, ADMIN
    user = {"username": "ann", "password": "another-password"}
    with_sign_in.post("/api/2.0/mlflow/users/create", json=user, auth=ADMIN).raise_for_status()

    pair = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
    assert the_failure(said(address)) == f"{address} wants a user name and a password (401) → Set {pair}"
    token = f"{address} wants a user name and a password, and not a token (401) → Set {pair}"
    assert the_failure(said(address, MLFLOW_TRACKING_TOKEN=password)) == token

    def signed_in(username: str, password: str) -> list[Finding]:
        return said(address, MLFLOW_TRACKING_USERNAME=username, MLFLOW_TRACKING_PASSWORD=password)

    for wrong in (signed_in(admin, "wrong-password"), signed_in("bob", password)):
        assert the_failure(wrong) == f"{address} rejects these credentials (401) → Correct {pair}"
    [fine] = signed_in(admin, password)
    assert problems([fine]) == []
    assert fine.text.startswith(f"{PINNED} answers at {address}; {STOCK}")
    # MLflow shows this user an empty page of experiments, and refuses each run.
    assert "permission READ" in the_warning(signed_in("ann", "another-password"))

    named = address.replace("//", f"//{admin}:wrong-password@")
    of_others = said("http://127.0.0.1:9", MLFLOW_TRACKING_SERVERS=f"other={named}")
    text = the_failure(finding for finding in of_others if finding.subject == "MLflow other")
    assert text.endswith("→ Correct them in its address in MLFLOW_TRACKING_SERVERS: https://USER:PASSWORD@HOST.")
