"""Pub/Sub: the topic and its subscription, Google's or an emulator's."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from workers.doctor.finding import Finding, Findings, Given, Level, failure, ok, warning
from workers.settings import Settings

SUBJECT = "Pub/Sub"
SECONDS = 5.0
CONSUME = "pubsub.subscriptions.consume"
DELETED = "_deleted-topic_"


class UnreachableError(Exception):
    """The server answers nothing of use, so there is no point in asking on."""


def look(given: Given) -> Findings:
    settings = given.settings
    if settings.pubsub_emulator_host:
        host, _, port = settings.pubsub_emulator_host.rpartition(":")
        try:
            socket.create_connection((host, int(port)), SECONDS).close()
        except OSError as error:
            fix = "Start the emulator, or correct PUBSUB_EMULATOR_HOST; unset it to use Google's Pub/Sub."
            yield failure(SUBJECT, f"no emulator answers at {settings.pubsub_emulator_host}: {error}", fix)
            return
    yield from _resources(settings)


def _resources(settings: Settings) -> Findings:
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import pubsub_v1

    try:
        publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    except GoogleAuthError as error:
        text = f"PUBSUB_EMULATOR_HOST is unset, so Google's Pub/Sub is used, and there are no credentials: {error}"
        yield failure(SUBJECT, text, "Set GOOGLE_APPLICATION_CREDENTIALS or PUBSUB_EMULATOR_HOST.")
        return
    with subscriber:
        topic = publisher.topic_path(settings.project, settings.topic)
        path = subscriber.subscription_path(settings.project, settings.subscription)
        try:
            yield from _topic(publisher, topic, settings)
            yield from _subscription(subscriber, path, topic, settings)
        except UnreachableError as error:
            fix = "Check the network, GOOGLE_CLOUD_PROJECT and the credentials."
            if host := settings.pubsub_emulator_host:
                fix = f"Restart the emulator at {host}: it takes connections, but does not answer as Pub/Sub does."
            yield failure(SUBJECT, str(error), fix)


def _topic(publisher: Any, topic: str, settings: Settings) -> Findings:
    create = f"gcloud pubsub topics create {settings.topic} --project={settings.project}"
    called = _call(partial(publisher.get_topic, topic=topic, timeout=SECONDS, retry=None), topic, create, settings)
    if isinstance(called, Finding):
        yield called
    else:
        yield ok(SUBJECT, f"the topic {settings.topic} exists in project {settings.project}")


def _subscription(subscriber: Any, path: str, topic: str, settings: Settings) -> Findings:
    create = (
        f"gcloud pubsub subscriptions create {settings.subscription} --topic={settings.topic}"
        f" --project={settings.project} --retain-acked-messages --expiration-period=never"
    )
    get = partial(subscriber.get_subscription, subscription=path, timeout=SECONDS, retry=None)
    called = _call(get, path, create, settings)
    if isinstance(called, Finding):
        yield called
        if called.level is Level.FAILURE:
            return
    else:
        yield from _described(called, topic, settings)
    if not settings.pubsub_emulator_host:
        yield from _may_consume(subscriber, path, settings)


def _described(found: Any, topic: str, settings: Settings) -> Findings:
    """What is wrong with a subscription as the server describes it."""
    name = settings.subscription
    again = f"Delete the subscription {name} and create it for {settings.topic}, or correct PUBSUB_SUBSCRIPTION."
    if found.topic == DELETED:
        yield failure(SUBJECT, f"the topic of the subscription {name} was deleted: it gets no messages", again)
    elif found.topic != topic:
        text = f"the subscription {name} belongs to another topic, {found.topic}: it gets no events of {settings.topic}"
        yield failure(SUBJECT, text, f"{again} Or correct PUBSUB_TOPIC.")
    elif getattr(found, "detached", False):
        yield failure(SUBJECT, f"the subscription {name} is detached: it gets no messages", again)
    else:
        yield ok(SUBJECT, f"the subscription {name} belongs to it")
    yield from _configured(found, name)
    if not settings.pubsub_emulator_host:
        yield from _expiring(found, name)


def _configured(found: Any, name: str) -> Findings:
    update = f"gcloud pubsub subscriptions update {name}"
    if found.push_config.push_endpoint:
        text = f"the subscription {name} pushes its messages to {found.push_config.push_endpoint}"
        yield failure(SUBJECT, text, f"Make it pull: `{update} --push-endpoint=''`.")
    if found.filter:
        text = f"the subscription {name} has the filter {found.filter}: other messages never arrive"
        yield warning(SUBJECT, text, "A filter can't be changed: delete and create the subscription without one.")
    if not found.retain_acked_messages:
        text = f"the subscription {name} drops acknowledged messages: seeking back in time replays nothing"
        yield warning(SUBJECT, text, f"`{update} --retain-acked-messages`")
    if found.ack_deadline_seconds > 60:
        text = f"its ack deadline is {found.ack_deadline_seconds} s: a killed subscriber's messages come that late"
        yield warning(SUBJECT, text, f"`{update} --ack-deadline=10`")


def _expiring(found: Any, name: str) -> Findings:
    """Google deletes a subscription that no one reads from, by default after 31 days; emulators don't."""
    if ttl := found.expiration_policy.ttl:
        text = f"the subscription {name} is deleted after {ttl.days} days without a subscriber"
        yield warning(SUBJECT, text, f"`gcloud pubsub subscriptions update {name} --expiration-period=never`")


def _may_consume(subscriber: Any, path: str, settings: Settings) -> Findings:
    request = {"resource": path, "permissions": [CONSUME]}
    fix = (
        f"`gcloud pubsub subscriptions add-iam-policy-binding {settings.subscription} --project={settings.project}"
        " --role=roles/pubsub.subscriber --member=serviceAccount:ACCOUNT`"
    )
    found = _call(partial(subscriber.test_iam_permissions, request=request, timeout=SECONDS), path, fix, settings)
    if isinstance(found, Finding):
        yield found
    elif CONSUME not in found.permissions:
        text = f"this identity may not receive messages from the subscription {settings.subscription}"
        yield failure(SUBJECT, text, fix)


def _call(call: Callable[[], Any], name: str, create: str, settings: Settings) -> Any:
    """The call's result, or a finding that says why there is none. Raises UnreachableError."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    what = f"the {name.split('/')[2][:-1]} {name.split('/')[3]}"
    try:
        return call()
    except exceptions.NotFound:
        text = f"{what} does not exist in project {settings.project}"
        if settings.pubsub_emulator_host:
            return failure(
                SUBJECT, text, "Start the subscriber, which creates it there: `python -m workers subscribe`."
            )
        return failure(SUBJECT, text, f"Create it: `{create}`. Or correct GOOGLE_CLOUD_PROJECT.")
    except exceptions.PermissionDenied as error:
        text = f"this identity may not see {what}, so its settings are unknown: {error.message}"
        return warning(SUBJECT, text, "Give it roles/pubsub.viewer to have them checked.")
    except (exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise UnreachableError(f"{what} can't be read: {error}") from error
