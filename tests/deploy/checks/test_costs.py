"""What a month on Google Cloud consists of: as the Terraform files have it, and as prices multiply it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.checks import costs
from deploy.checks.costs import Load
from tests.paths import ROOT

NAMES = {name for month in costs.months() for name in month.amounts()}


def test_the_reference_page_is_what_is_printed() -> None:
    assert (ROOT / "docs" / "reference" / "costs.md").read_text() == costs.page()


def test_every_row_has_a_price_to_be_filled_in_and_none_is_invented() -> None:
    prices = json.loads(costs.PRICES.read_text())
    assert prices.keys() == NAMES
    assert set(prices.values()) == {None}


def test_more_runs_take_more_disk_and_messages_and_nothing_else() -> None:
    few, many = (costs.months(Load(runs, 100, 12))[1].amounts() for runs in (10_000, 20_000))
    grown = {name for name in few if many[name] != few[name]}
    assert grown == {"cloud_sql_disk_gb", "cloud_sql_backup_gb", "pubsub_gb"}
    assert all(many[name] == pytest.approx(2 * few[name]) for name in grown)


def test_amounts_are_multiplied_by_their_prices_and_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({**dict.fromkeys(NAMES, 0), "cloud_run_processor_hours": 0.5, "cloud_run_gib_hours": 0}))
    assert costs.main(["--prices", str(file)]) == 0
    small = costs.months()[0]
    assert f"small: dev: {small.sizes.processors * 730 * 0.5:,.2f} a month" in capsys.readouterr().out


def test_a_price_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert costs.main(["--prices", str(costs.PRICES)]) == 1
    assert "no price of cloud_run_processor_hours, cloud_run_gib_hours" in capsys.readouterr().err
    assert costs.main(["--prices", "/nowhere.json"]) == 1


def test_another_load_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert costs.main(["--runs", "500", "--epochs", "20"]) == 0
    assert "| 500 of 20 epochs, 12 months | 500 of 20" in capsys.readouterr().out
