"""Pub/Sub, which carries run events and replay requests."""

from __future__ import annotations

from warmboard.contract.settings.parsers import host_and_port, name
from warmboard.contract.settings.setting import Setting

GOOGLE_CLOUD_PROJECT = Setting(
    "GOOGLE_CLOUD_PROJECT",
    name,
    "warmboard-local",
    "The Google Cloud project of the topic and the subscription.",
    ("trainer", "workers", "webapp"),
)
PUBSUB_EMULATOR_HOST = Setting(
    "PUBSUB_EMULATOR_HOST",
    host_and_port,
    "",
    "HOST:PORT of a Pub/Sub emulator. Unset: Google's Pub/Sub.",
    ("trainer", "workers", "webapp"),
)
PUBSUB_TOPIC = Setting(
    "PUBSUB_TOPIC",
    name,
    "warmboard-runs",
    "The topic of run events and replay requests.",
    ("trainer", "workers", "webapp"),
)
PUBSUB_SUBSCRIPTION = Setting(
    "PUBSUB_SUBSCRIPTION", name, "warmboard-workers", "The workers' subscription to PUBSUB_TOPIC.", ("workers",)
)
