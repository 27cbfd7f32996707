from tests.warmboard.fixtures import pubsub

__all__ = ["pubsub"]
