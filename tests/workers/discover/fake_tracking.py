"""A faked MLflow server for discovery: its lists of experiments and runs."""

from __future__ import annotations

import io
import json
import operator
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import urllib3

from tests.store.samples import NOON

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
DAYS = 7
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}


class FakeTracking(urllib3.PoolManager):
    """An MLflow server's lists of experiments and runs, filtered and paged as by MLflow."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[dict[str, Any]] = []
        self.experiments = {"1": "two-tower"}
        self.status, self.answer = 200, b""
        self.next_page = ""
        """If set, there is no last page."""
        self.refused = ""
        """What is answered with 500: a search for ``experiments`` or ``runs``."""
        self.asked = 0
        self.filters: list[str] = []
        self.clock, self.seconds = 0.0, 0.0
        """Each answer takes ``seconds`` of ``clock``."""

    def run(self, run_id: str, status: str = "RUNNING", **info: Any) -> dict[str, Any]:
        """Start or change a run; ``metrics`` and ``tags`` are its data."""
        data = {what: info.pop(what, []) for what in ("metrics", "params", "tags")}
        given = {"start_time": ms(NOON - 2 * MINUTE), "experiment_id": "1", **info}
        run = {"info": {"run_id": run_id, "status": status, **given}, "data": data}
        self.runs = [other for other in self.runs if other["info"]["run_id"] != run_id] + [run]
        return run

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> urllib3.HTTPResponse:  # type: ignore[override]
        self.clock += self.seconds
        self.asked += 1
        asked = json.loads(kw["body"])
        what = url.split("/")[-2]
        found = self._experiments() if what == "experiments" else self._runs(asked)
        begin = int(asked.get("page_token") or 0)
        end = begin + asked["max_results"]
        page = {what: found[begin:end], "next_page_token": self.next_page or (str(end) if end < len(found) else "")}
        body = self.answer or json.dumps(page).encode()
        status = 500 if what == self.refused else self.status
        return urllib3.HTTPResponse(io.BytesIO(body), {}, status, preload_content=False, decode_content=False)

    def _experiments(self) -> list[dict[str, Any]]:
        return [{"experiment_id": number, "name": name} for number, name in self.experiments.items()]

    def _runs(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        self.filters.append(asked["filter"])
        assert asked["run_view_type"] == "ALL"
        key, direction = asked["order_by"][0].removeprefix("attributes.").split()
        assert direction == "DESC"
        found = [
            run
            for run in self.runs
            if run["info"]["experiment_id"] in asked["experiment_ids"]
            and all(_holds(run["info"], condition) for condition in asked["filter"].split(" AND "))
        ]
        return sorted(found, key=lambda run: -run["info"][key])


def _holds(info: dict[str, Any], condition: str) -> bool:
    parsed = re.fullmatch(r"attributes\.(\w+) (>=|<=|=|!=) (?:(\d+)|'(\w+)')", condition)
    assert parsed
    name, sign, number, text = parsed.groups()
    wanted = int(number) if number else text
    return name in info and OPERATORS[sign](info[name], wanted)


def ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def metric(moment: Any, step: int = 3) -> dict[str, Any]:
    return {"key": "loss", "value": 0.5, "step": step, "timestamp": moment if isinstance(moment, int) else ms(moment)}
