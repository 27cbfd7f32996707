"""Topic and subscriptions are as declared, however often they are set up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPIError

from deploy.local.process import free_port
from tests.paths import ROOT
from workers.pubsub import command, setup
from workers.settings import Settings

from .conftest import Site

pytestmark = pytest.mark.integration


def subscription(site: Site) -> Any:
    return site.bus.subscriber.get_subscription(request={"subscription": site.name("subscription")})


def test_set_up_twice_nothing_differs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(setup.differences(site.settings)) == []
    assert command.set_up(site.settings, check=True) == 0
    assert command.set_up(site.settings, check=False) == 0
    assert capsys.readouterr().out == "Topic and subscriptions are as declared.\n" * 2
    found = subscription(site)
    assert found.dead_letter_policy.dead_letter_topic == site.name("dead_letter_topic")
    assert (found.dead_letter_policy.max_delivery_attempts, found.retain_acked_messages) == (100, True)


def test_what_differs_is_shown_and_changed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    changed = {"name": site.name("subscription"), "ack_deadline_seconds": 30, "retain_acked_messages": False}
    paths = {"paths": ["ack_deadline_seconds", "retain_acked_messages"]}
    site.bus.subscriber.update_subscription(request={"subscription": changed, "update_mask": paths})
    site.bus.subscriber.delete_subscription(request={"subscription": site.name("dead_letter_subscription")})
    assert command.set_up(site.settings, check=True) == 1
    shown = capsys.readouterr().out
    assert f"~ {site.name('subscription')}\n" in shown
    assert "    ack_deadline_seconds: 30 → 10\n" in shown
    assert "    retain_acked_messages: none → true\n" in shown
    assert f"+ {site.name('dead_letter_subscription')}\n" in shown
    assert command.set_up(site.settings, check=False) == 0
    assert capsys.readouterr().out == shown
    assert list(setup.differences(site.settings)) == []
    assert subscription(site).ack_deadline_seconds == 10


def test_what_can_not_be_changed_is_said(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    path = site.name("subscription")
    site.bus.subscriber.delete_subscription(request={"subscription": path})
    only_started = 'attributes.ce-type = "warmboard.run.started.v1"'
    wrong = {"name": path, "topic": site.name("topic"), "filter": only_started}
    site.bus.subscriber.create_subscription(request=wrong)
    assert command.set_up(site.settings, check=False) == 1
    assert "    filter can't be changed: delete the subscription first" in capsys.readouterr().out
    assert [list(difference.fields) for difference in setup.differences(site.settings)] == [["filter"]]


def test_a_pubsub_that_is_down_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings.read({"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}"})
    with pytest.raises(GoogleAPIError):
        list(setup.differences(settings))
    assert command.set_up(settings, check=True) == 1
    assert "workers: " in capsys.readouterr().err


def test_the_declaration_is_read_from_a_file_that_other_programs_can_read() -> None:
    roles = json.loads((ROOT / "workers/pubsub/declaration.json").read_text())
    assert set(roles) == set(setup.ORDER)
    assert roles["subscription"]["dead_letter_policy"]["max_delivery_attempts"] == 100
