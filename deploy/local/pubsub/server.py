"""The gRPC services google.pubsub.v1.Publisher and .Subscriber over a `Storage`.

Protocol: https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1. Names, defaults and error codes are those
of Google's emulator. Answered with UNIMPLEMENTED: schemas, push, export and exactly-once subscriptions, detaching,
updating snapshots. An expiration policy is kept, but no subscription expires.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from deploy.local.pubsub import filters
from deploy.local.pubsub.storage import SECOND, WEEK, Storage
from deploy.local.pubsub.tables import StatusError, now

_Calls = dict[str, Callable[[Any, Any], Any]]
_MESSAGES = {"topic": types.Topic.pb(), "subscription": types.Subscription.pb(), "snapshot": types.Snapshot.pb()}
_NAME = re.compile(r"projects/[^/]+/(topic|subscription|snapshot)s/(?!goog)[A-Za-z][\w.~+%-]{2,254}")
_EXPORTS = {"bigquery_config", "cloud_storage_config", "bigtable_config"}
_UNSUPPORTED = _EXPORTS | {"enable_exactly_once_delivery", "message_transforms", "schema_settings"}
_POLICIES = {"dead_letter_policy", "retry_policy", "expiration_policy"}
_MUTABLE = _POLICIES | {"labels", "message_retention_duration", "ack_deadline_seconds", "retain_acked_messages"}
_RETENTION = range(600 * SECOND, 31 * 24 * 3600 * SECOND + 1)
_BACKOFF = range(600 * SECOND + 1)
_ATTEMPTS = range(5, 101)
_ACK_DEADLINE, _STREAM_ACK_DEADLINE = range(601), range(10, 601)
_PULL_SECONDS = 90  # How long a Pull without a deadline waits.
_PURGE_SECONDS = 60
_STOP_SECONDS = 5
_MAX_CALLS = 256  # Each waiting Pull and each stream holds a thread.


def _invalid(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def _name(kind: str, name: str) -> str:
    match = _NAME.fullmatch(name)
    if match is None or match[1] != kind:
        raise _invalid(f"Invalid [{kind}s] name: (name={name})")
    return name


class Services:
    """One method per RPC; each takes the request and the context, and raises StatusError where the API has an error."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        publisher: _Calls = {
            "CreateTopic": self.create_topic,
            "UpdateTopic": partial(self.update, "topic"),
            "GetTopic": partial(self.get, "topic"),
            "ListTopics": partial(self.list_all, "topic"),
            "DeleteTopic": partial(self.delete, "topic"),
            "ListTopicSubscriptions": partial(self.list_of_topic, "subscription"),
            "ListTopicSnapshots": partial(self.list_of_topic, "snapshot"),
            "Publish": self.publish,
        }
        subscriber: _Calls = {
            "CreateSubscription": self.create_subscription,
            "UpdateSubscription": partial(self.update, "subscription"),
            "GetSubscription": partial(self.get, "subscription"),
            "ListSubscriptions": partial(self.list_all, "subscription"),
            "DeleteSubscription": partial(self.delete, "subscription"),
            "Pull": self.pull,
            "StreamingPull": self.streaming_pull,
            "Acknowledge": self.acknowledge,
            "ModifyAckDeadline": self.modify_ack_deadline,
            "CreateSnapshot": self.create_snapshot,
            "GetSnapshot": partial(self.get, "snapshot"),
            "ListSnapshots": partial(self.list_all, "snapshot"),
            "DeleteSnapshot": partial(self.delete, "snapshot"),
            "Seek": self.seek,
        }
        services = {"google.pubsub.v1.Publisher": publisher, "google.pubsub.v1.Subscriber": subscriber}
        return [
            grpc.method_handlers_generic_handler(service, {name: _handler(name, call) for name, call in calls.items()})
            for service, calls in services.items()
        ]

    # Resources

    def create_topic(self, topic: Any, context: Any) -> Any:
        self._complete("topic", topic)
        self.storage.create_topic(topic)
        return topic

    def create_subscription(self, subscription: Any, context: Any) -> Any:
        _name("topic", subscription.topic)
        self._complete("subscription", subscription)
        self.storage.create_subscription(subscription)
        return subscription

    def create_snapshot(self, request: Any, context: Any) -> Any:
        snapshot = _MESSAGES["snapshot"](name=_name("snapshot", request.name), labels=request.labels)
        return self.storage.create_snapshot(snapshot, _name("subscription", request.subscription))

    def get(self, kind: str, request: Any, context: Any) -> Any:
        name = _name(kind, getattr(request, kind))
        return _MESSAGES[kind].FromString(self.storage.get(kind, name))

    def delete(self, kind: str, request: Any, context: Any) -> Any:
        self.storage.delete(kind, _name(kind, getattr(request, kind)))
        return Empty()

    def list_all(self, kind: str, request: Any, context: Any) -> Any:
        if not re.fullmatch(r"projects/[^/]+", request.project):
            raise _invalid(f"Invalid project name: (name={request.project})")
        found, token = self.storage.page(kind, request.page_size, request.page_token, project=request.project)
        resources = {f"{kind}s": [_MESSAGES[kind].FromString(config) for _, config in found]}
        return getattr(types, f"List{kind.title()}sResponse").pb()(**resources, next_page_token=token)

    def list_of_topic(self, kind: str, request: Any, context: Any) -> Any:
        topic = _name("topic", request.topic)
        found, token = self.storage.page(kind, request.page_size, request.page_token, topic=topic)
        names = {f"{kind}s": [name for name, _ in found]}
        return getattr(types, f"ListTopic{kind.title()}sResponse").pb()(**names, next_page_token=token)

    def update(self, kind: str, request: Any, context: Any) -> Any:
        """Replace the fields that the mask names; whole fields, as in Google's emulator."""
        changed, paths = getattr(request, kind), request.update_mask.paths
        config = _MESSAGES[kind].FromString(self.storage.get(kind, _name(kind, changed.name)))
        if not paths:
            raise _invalid("The update_mask must be set, and must contain a non-empty paths list.")
        for path in paths:
            if path not in config.DESCRIPTOR.fields_by_name:
                raise _invalid(f"Invalid update_mask: {path} is not a known {kind.title()} field.")
            if path not in _MUTABLE:
                raise _invalid(f"Invalid update_mask: the {path} field is not mutable.")
            config.ClearField(path)
        config.MergeFrom(
            type(config)(**{field.name: value for field, value in changed.ListFields() if field.name in paths})
        )
        self._complete(kind, config)
        self.storage.update(kind, config)
        return config

    def _complete(self, kind: str, config: Any) -> None:
        """Check a topic or a subscription, and fill in the API's defaults."""
        _name(kind, config.name)
        for field, value in config.ListFields():
            if field.name in _UNSUPPORTED or (field.name == "push_config" and value.push_endpoint):
                text = f"{field.name} is not supported by the embedded Pub/Sub server"
                raise StatusError(grpc.StatusCode.UNIMPLEMENTED, text)
        if kind == "subscription" and not config.HasField("message_retention_duration"):
            config.message_retention_duration.FromMicroseconds(WEEK)
        if config.HasField("message_retention_duration"):
            _check(config, "message_retention_duration", _RETENTION)
        if kind == "subscription":
            self._complete_subscription(config)

    def _complete_subscription(self, config: Any) -> None:
        if config.ack_deadline_seconds not in _ACK_DEADLINE:
            raise _invalid("ack_deadline_secs out of bounds")
        config.ack_deadline_seconds = config.ack_deadline_seconds or 10
        try:
            filters.parse(config.filter)
        except filters.FilterError as error:
            raise _invalid(f"Invalid filter {config.filter!r}: {error}") from None
        if config.HasField("dead_letter_policy"):
            policy = config.dead_letter_policy
            policy.max_delivery_attempts = policy.max_delivery_attempts or _ATTEMPTS[0]
            if policy.max_delivery_attempts not in _ATTEMPTS:
                raise StatusError(grpc.StatusCode.OUT_OF_RANGE, "max_delivery_attempts must be between 5 and 100")
            self.storage.get("topic", policy.dead_letter_topic, "Dead letter topic not found")
        if config.HasField("retry_policy"):
            retry = config.retry_policy
            for name, default in (("minimum_backoff", 10), ("maximum_backoff", 600)):
                if not retry.HasField(name):
                    getattr(retry, name).FromSeconds(default)
                _check(retry, name, _BACKOFF)
            if retry.minimum_backoff.ToMicroseconds() > retry.maximum_backoff.ToMicroseconds():
                raise _invalid("The value for maximum_backoff is too small: it is less than minimum_backoff.")

    # Messages

    def publish(self, request: Any, context: Any) -> Any:
        topic = _name("topic", request.topic)
        if not request.messages:
            raise _invalid("No messages to publish")
        if not all(message.data or message.attributes for message in request.messages):
            raise _invalid("Some messages are empty")
        return types.PublishResponse.pb()(message_ids=self.storage.publish(topic, request.messages))

    def pull(self, request: Any, context: Any) -> Any:
        """Wait for the first messages; empty shortly before the caller's deadline, as Google's emulator does it."""
        name = _name("subscription", request.subscription)
        if request.max_messages <= 0:
            raise _invalid("No max_messages specified")
        left = context.time_remaining() or 2 * _PULL_SECONDS
        patience = 0 if request.return_immediately else min(_PULL_SECONDS, max(left - 1, left / 2))
        context.add_callback(partial(self.storage.wake, name))
        until = now() + int(patience * SECOND)
        # A caller that has disconnected must not get a lease.
        received = self.storage.receive(name, context.is_active, until=until, limit=request.max_messages)
        return types.PullResponse.pb()(received_messages=received)

    def acknowledge(self, request: Any, context: Any) -> Any:
        if not request.ack_ids:
            raise _invalid("No ack ids specified.")
        self.storage.acknowledge(_name("subscription", request.subscription), request.ack_ids)
        return Empty()

    def modify_ack_deadline(self, request: Any, context: Any) -> Any:
        if not request.ack_ids:
            raise _invalid("No ack ids specified")
        if request.ack_deadline_seconds < 0:
            raise _invalid("Ack deadline cannot be negative")
        deadlines = [(ack_id, request.ack_deadline_seconds) for ack_id in request.ack_ids]
        self.storage.modify_ack_deadlines(_name("subscription", request.subscription), deadlines)
        return Empty()

    def seek(self, request: Any, context: Any) -> Any:
        name, target = _name("subscription", request.subscription), request.WhichOneof("target")
        if target is None:
            raise _invalid("No target was specified in the SeekRequest. Must specify either a time or a snapshot")
        if target == "time":
            self.storage.seek(name, to=request.time.ToMicroseconds())
        else:
            self.storage.seek(name, snapshot=_name("snapshot", request.snapshot))
        return types.SeekResponse.pb()()

    def streaming_pull(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        stream = _Stream(self.storage, next(requests, types.StreamingPullRequest.pb()()))
        context.add_callback(stream.stop)
        threading.Thread(target=stream.read, args=(requests,), daemon=True).start()
        return stream.replies()


class _Stream:
    """One StreamingPull: a thread of its own reads the requests, the call's thread sends what is due."""

    _numbers = itertools.count(1)

    def __init__(self, storage: Storage, first: Any) -> None:
        for field in ("subscription", "stream_ack_deadline_seconds"):
            if not getattr(first, field):
                raise _invalid(f"first message must set {field}")
        self.storage, self.name, self.number = storage, _name("subscription", first.subscription), next(self._numbers)
        self.limits = {"limit": first.max_outstanding_messages, "limit_bytes": first.max_outstanding_bytes}
        self.error: StatusError | None = None
        self.active = True
        self.seconds = 0
        config = types.Subscription.pb().FromString(storage.get("subscription", self.name))
        self.properties = {"message_ordering_enabled": config.enable_message_ordering}
        self.apply(first)

    def apply(self, request: Any) -> None:
        """Apply the acks, deadlines and lease time that any request of the stream may carry."""
        self.seconds = request.stream_ack_deadline_seconds or self.seconds
        if self.seconds not in _STREAM_ACK_DEADLINE:
            raise _invalid("stream_ack_deadline_seconds must be between 10 and 600 seconds")
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise _invalid("ack IDs and deadlines must have the same size")
        self.storage.acknowledge(self.name, request.ack_ids)
        deadlines = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
        self.storage.modify_ack_deadlines(self.name, deadlines)

    def read(self, requests: Iterator[Any]) -> None:
        try:
            for request in requests:
                if request.subscription:
                    raise _invalid("subscription may only be set in first message")
                self.apply(request)
        except StatusError as error:
            self.error = error
        except grpc.RpcError:  # The client has disconnected.
            pass
        finally:
            self.stop()

    def stop(self) -> None:
        self.active = False
        self.storage.wake(self.name)

    def replies(self) -> Iterator[Any]:
        terms = {"holder": self.number, **self.limits}
        while received := self.storage.receive(self.name, lambda: self.active, seconds=self.seconds, **terms):
            yield types.StreamingPullResponse.pb()(received_messages=received, subscription_properties=self.properties)
        if self.error:
            raise self.error


def _check(config: Any, field: str, bounds: range) -> None:
    if getattr(config, field).ToMicroseconds() not in bounds:
        seconds = f"{bounds[0] // SECOND}s and {bounds[-1] // SECOND}s"
        raise _invalid(f"{field} out of bounds: it must be between {seconds}")


def _handler(name: str, method: Callable[[Any, Any], Any]) -> grpc.RpcMethodHandler:
    # Each RPC has its request class, except for the two that take the bare resource.
    request_type = getattr(types, f"{name}Request", None) or getattr(types, name.removeprefix("Create"))

    def call(request: Any, context: Any) -> Any:
        try:
            return method(request, context)
        except StatusError as error:
            context.abort(error.code, error.message)

    def stream(requests: Any, context: Any) -> Any:
        try:
            yield from method(requests, context)
        except StatusError as error:
            context.abort(error.code, error.message)

    coders = (request_type.pb().FromString, lambda reply: reply.SerializeToString())
    if name == "StreamingPull":
        return grpc.stream_stream_rpc_method_handler(stream, *coders)
    return grpc.unary_unary_rpc_method_handler(call, *coders)


class Server:
    """A running server; `port` is the bound one. Raises OSError if it can't listen on the address."""

    def __init__(self, storage: Storage, host: str, port: int) -> None:
        self._storage = storage
        self._stopped = threading.Event()
        # Without SO_REUSEPORT a second server on the port fails instead of taking half of the calls.
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 20 << 20)]
        self._grpc = grpc.server(futures.ThreadPoolExecutor(_MAX_CALLS), Services(storage).handlers(), options=options)
        try:
            self.port: int = self._grpc.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {host}:{port}: is another server there?") from error
        self._grpc.start()
        threading.Thread(target=self._purge, daemon=True).start()

    def _purge(self) -> None:
        self._storage.purge()
        while not self._stopped.wait(_PURGE_SECONDS):
            self._storage.purge()

    def stop(self) -> None:
        """End all calls, after half a second for those in progress, and close the file. Takes a few seconds at most."""
        self._stopped.set()
        self._grpc.stop(grace=0.5).wait(_STOP_SECONDS)
        self._storage.close()
