"""Our server and a stock one: the same requests, in the same order, get the same responses, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from tests.mlflow_server.servers import Server
from tests.waiting import PATIENCE

pytestmark = pytest.mark.integration
API = "/api/2.0/mlflow/"
NOW = re.compile(r"\b1[789]\d{11}\b")
TOLD = ("Content-Type", "Location", "WWW-Authenticate", "X-Frame-Options", "X-Content-Type-Options", "Allow", "Vary")


@pytest.fixture
def stock(stock_mlflow: Server) -> Server:
    return stock_mlflow


class Talk:
    """Requests to one server, and its responses without what differs between servers: IDs, times, addresses."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.names = {server.address: "ADDRESS"}
        self._told: list[str] = []

    @property
    def told(self) -> list[str]:
        return [self._less_names(text) for text in self._told]

    def ask(self, method: str, path: str, /, **options: Any) -> Any:
        address = self.server.address + (path if path.startswith("/") else API + path)
        response = self.server.session.request(method, address, timeout=PATIENCE, **options)
        # The methods in `Allow` have no fixed order.
        headers = {name: sorted(response.headers.get(name, "").split(", ")) for name in TOLD}
        self.tell((method, path, response.status_code, headers, response.text))
        return response.json() if response.headers.get("Content-Type") == "application/json" else None

    def get(self, path: str, /, **parameters: Any) -> Any:
        return self.ask("GET", path, params=parameters)

    def post(self, path: str, /, **document: Any) -> Any:
        return self.ask("POST", path, json=document)

    def tell(self, found: object) -> None:
        """The result of a call of MLflow's client."""
        self._told.append(str(found))

    def name(self, found: str, name: str) -> str:
        self.names[found] = name
        return found

    def run(self, experiment: str = "0", **document: Any) -> str:
        made = self.post("runs/create", experiment_id=experiment, start_time=1, run_name="run", **document)
        return self.name(made["run"]["info"]["run_id"], f"RUN {len(self.names)}")

    def _less_names(self, text: str) -> str:
        for one, name in self.names.items():
            text = text.replace(one, name)
        return NOW.sub("NOW", text)


def site(talk: Talk) -> None:
    for path in ("/", "/health", "/version", "/no/such/page", "/static-files/no-such.js"):
        talk.get(path)
    talk.get("/api/3.0/mlflow/server-info")
    talk.ask("POST", "/health")
    talk.ask("OPTIONS", API + "runs/search")


def guards(talk: Talk) -> None:
    talk.ask("GET", "experiments/get?experiment_id=0", headers={"Host": "evil.example"})
    talk.ask("POST", "runs/search", json={}, headers={"Origin": "https://evil.example"})
    talk.ask("GET", "/health", headers={"Host": "evil.example"})


def experiments(talk: Talk) -> None:
    made = talk.post("experiments/create", name="told", tags=[{"key": "of", "value": "both"}])
    id_ = talk.name(f'"{made["experiment_id"]}"', '"EXPERIMENT"').strip('"')
    talk.name(f"/{id_}", "/EXPERIMENT")
    talk.name(f"xperiment {id_} must be", "xperiment EXPERIMENT must be")
    talk.post("experiments/create", name="told")
    talk.post("experiments/create", name="")
    talk.get("experiments/get", experiment_id=id_)
    talk.get("experiments/get", experiment_id="987654")
    talk.get("experiments/get-by-name", experiment_name="told")
    talk.get("experiments/get-by-name", experiment_name="untold")
    talk.post("experiments/get-by-name", experiment_name="told")
    talk.post("experiments/set-experiment-tag", experiment_id=id_, key="k", value="v")
    talk.post("experiments/update", experiment_id=id_, new_name="told again")
    talk.post("experiments/search", max_results=5, filter="name LIKE 'told%'")
    talk.post("experiments/search", max_results=-5)
    talk.post("experiments/delete", experiment_id=id_)
    talk.post("experiments/search", max_results=5, view_type="DELETED_ONLY")
    talk.post("runs/create", experiment_id=id_)
    talk.post("experiments/restore", experiment_id=id_)
    talk.get("experiments/get", experiment_id=id_)


def runs(talk: Talk) -> None:
    run = talk.run(tags=[{"key": "kind", "value": "told"}])
    talk.get("runs/get", run_id=run)
    talk.get("runs/get", run_id="0" * 32)
    talk.get("runs/get")
    talk.post("runs/update", run_id=run, status="FINISHED", end_time=9, run_name="renamed")
    talk.post("runs/set-tag", run_id=run, key="note", value="„ja“")
    talk.post("runs/delete-tag", run_id=run, key="note")
    talk.post("runs/delete-tag", run_id=run, key="note")
    talk.post("runs/log-parameter", run_id=run, key="p", value="1")
    talk.post("runs/log-parameter", run_id=run, key="p", value="2")
    talk.post("runs/log-metric", run_id=run, key="m", value=0.5, timestamp=3, step=2)
    talk.post("runs/log-metric", run_id=run, key="no|such|key", value=0.5, timestamp=3)
    talk.post("runs/search", experiment_ids=["0"], filter="tags.kind = 'told' and metrics.m > 0.1")
    talk.post("runs/search", experiment_ids=["0"], filter="metrics.m >")
    talk.post("runs/delete", run_id=run)
    talk.get("runs/get", run_id=run)
    talk.post("runs/log-metric", run_id=run, key="m", value=0.5, timestamp=3)
    talk.post("runs/search", experiment_ids=["0"], filter="tags.kind = 'told'", run_view_type="DELETED_ONLY")
    talk.post("runs/restore", run_id=run)
    talk.get("runs/get", run_id=run)


def metrics(talk: Talk) -> None:
    run = talk.run()
    values = [0.5, "NaN", "Infinity", "-Infinity", 1e-300, -0.0]
    points = [{"key": "m", "value": value, "timestamp": at, "step": at // 2} for at, value in enumerate(values)]
    talk.post("runs/log-batch", run_id=run, metrics=points, params=[{"key": "a/b c", "value": "x"}])
    talk.post("runs/log-batch", run_id=run, metrics=points)
    talk.post("runs/log-batch", run_id=run, metrics=points * 200)
    talk.post("runs/log-batch", run_id=run, metrics=[{"key": "m"}])
    talk.ask("POST", API + "runs/log-batch", data="{no json", headers={"Content-Type": "application/json"})
    talk.get("metrics/get-history", run_id=run, metric_key="m")
    page = talk.get("metrics/get-history", run_id=run, metric_key="m", max_results=4)
    token = talk.name(page["next_page_token"], "TOKEN")
    talk.get("metrics/get-history", run_id=run, metric_key="m", max_results=4, page_token=token)
    talk.get("metrics/get-history", run_id=run, metric_key="other")
    talk.get("metrics/get-history", run_id=run)
    bulk = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    talk.get(bulk, run_id=run, metric_key="m")
    talk.get(f"{bulk}-interval", run_ids=run, metric_key="m", max_results=3)
    query = f'{{mlflowGetRun(input: {{runId: "{run}"}}) {{run {{data {{metrics {{key value step}}}}}}}}}}'
    talk.ask("POST", "/graphql", json={"query": query})


def artifacts(talk: Talk) -> None:
    run = talk.run()
    folder = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts"
    talk.ask("PUT", f"{folder}/notes/one.txt", data="eins")
    talk.get("artifacts/list", run_id=run)
    talk.get("artifacts/list", run_id=run, path="notes")
    talk.get("artifacts/list", run_id=run, path="../..")
    talk.get(f"{folder}/notes/one.txt")
    talk.get("/get-artifact", run_uuid=run, path="notes/one.txt")
    talk.get("/get-artifact", run_uuid=run, path="no-such.txt")
    talk.ask("DELETE", f"{folder}/notes/one.txt")
    talk.get("artifacts/list", run_id=run)


def models(talk: Talk) -> None:
    talk.post("registered-models/create", name="told", description="a model")
    talk.post("registered-models/create", name="told")
    talk.get("registered-models/get", name="told")
    talk.get("registered-models/search", filter="name = 'told'")
    talk.ask("DELETE", "registered-models/delete", json={"name": "told"})
    talk.get("registered-models/get", name="told")


def by_client(talk: Talk) -> None:
    """The results of calls of MLflow's own client."""
    client = talk.server.client
    run = client.create_run("0", start_time=1, run_name="client")
    id_ = talk.name(run.info.run_id, "RUN")
    client.log_batch(id_, [Metric("loss", 1 / n, n, n) for n in range(1, 900)], [Param("p", "q")], [RunTag("t", "u")])
    client.log_text(id_, "zwei", "two.txt")
    client.log_dict(id_, {"drei": 3}, "folder/three.json")
    client.set_terminated(id_, end_time=2)
    talk.tell(client.get_run(id_).to_dictionary())
    talk.tell([(point.step, point.value) for point in client.get_metric_history(id_, "loss")])
    talk.tell([(file.path, file.is_dir, file.file_size) for file in client.list_artifacts(id_)])
    talk.tell(len(client.search_runs(["0"], "attributes.run_name = 'client'", ViewType.ALL)))
    with pytest.raises(MlflowException) as error:
        client.log_param(id_, "p", "other")
    talk.tell(error.value)
    client.delete_run(id_)
    talk.tell(client.get_run(id_).info.lifecycle_stage)


@pytest.mark.parametrize(
    "tell", [site, guards, experiments, runs, metrics, artifacts, models, by_client], ids=lambda tell: tell.__name__
)
def test_stock_routes_answer_as_on_a_stock_server(
    on_sqlite: Server, stock: Server, tell: Callable[[Talk], None]
) -> None:
    ours, theirs = Talk(on_sqlite), Talk(stock)
    tell(ours)
    tell(theirs)

    assert ours.told
    for one, other in zip(ours.told, theirs.told, strict=True):
        assert one == other


def test_a_stock_server_has_no_route_of_ours(stock: Server) -> None:
    assert stock.get("/api/2.0/warmboard/version").status_code == 404
