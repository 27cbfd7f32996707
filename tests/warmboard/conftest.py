from tests.warmboard.fixtures import both_servers, pubsub

__all__ = ["both_servers", "pubsub"]
