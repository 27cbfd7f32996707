"""A small Pub/Sub server: the google.pubsub.v1 gRPC API, durable in one SQLite file, in pure Python.

It lets the real google-cloud-pubsub client run on a machine that has neither Java nor a Google account. `server`
speaks the protocol, `storage` keeps topics, subscriptions and messages, `tables` owns the SQLite file, `filters`
parses subscription filters, `google` starts Google's own emulator instead. `tests/conformance` runs the same tests
against both.
"""
