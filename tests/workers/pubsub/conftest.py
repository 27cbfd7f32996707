"""A subscription of a test's own, on each server of Pub/Sub in turn, and a subscriber that a test moves by hand."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from store.models import InboxEvent
from tests.conformance.conftest import Bus, bus, connect, embedded, embedded_bus, free_of_environment  # noqa: F401
from tests.warmboard.contract.test_events import golden
from warmboard.contract.subscription import Action, SubscriptionRequest, Wish
from workers import inbox
from workers.inbox import Message, State
from workers.pubsub import requests
from workers.pubsub.setup import declared
from workers.settings import Settings
from workers.subscriber import create_subscription, receive


@dataclass
class Site:
    """The workers' topic and subscriptions, and what a subscriber does with them."""

    bus: Bus
    settings: Settings

    @classmethod
    def at(cls, bus: Bus) -> Site:  # noqa: F811
        name = uuid.uuid4().hex
        environ = {
            "PUBSUB_EMULATOR_HOST": bus.address,
            "GOOGLE_CLOUD_PROJECT": "conformance",
            "PUBSUB_TOPIC": f"topic-{name}",
            "PUBSUB_SUBSCRIPTION": f"subscription-{name}",
        }
        site = cls(bus, Settings.read(environ))
        create_subscription(site.settings)
        return site

    def name(self, role: str) -> str:
        return declared(self.settings)[role].name

    def publish(self, *run_ids: str, **change: Any) -> None:
        """Publish the completed event of each run."""
        for run_id in run_ids:
            data, attributes = golden()
            attributes = {**attributes, "ce-id": f"{run_id}.completed", "ce-subject": run_id}
            data = {**data, "run_id": run_id, "quick_test_id": None, **change}
            self.bus.publish(self.name("topic"), json.dumps(data), **attributes)

    def deliver(self, count: int) -> None:
        """Receive as many messages."""
        path = self.name("subscription")
        for entry in self.bus.pull(path, count):
            message = entry.message
            receive(
                SimpleNamespace(
                    message_id=message.message_id, data=message.data, attributes=message.attributes,
                    publish_time=message.publish_time, ack=lambda entry=entry: self.bus.ack(path, [entry]),
                )
            )  # fmt: skip

    def warm(self) -> list[str]:
        """Warm all runs that wait; returns their IDs."""
        found = inbox.pending()
        for run_id in found:
            inbox.finish(inbox.claim(run_id, "w1"))
        return found

    def ask(self, action: Action = Action.SEEK, **wish: Any) -> InboxEvent:
        """Ask for something, have it performed, and return the outcome."""
        request = SubscriptionRequest(
            id=uuid.uuid4().hex, time=datetime.now(UTC), wish=Wish(action=action, **wish), requested_by="ada"
        )
        row = inbox.record(Message("", *request.encode(), request.time))
        assert row
        assert (row.state, row.due_at) == (State.PENDING, None)
        done = requests.perform(self.settings, "subscriber")
        assert done == row
        return done


@pytest.fixture
def site(tables: None, queue: None, bus: Bus) -> Site:  # noqa: F811
    return Site.at(bus)
