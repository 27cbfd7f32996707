"""Tells Warmboard about a run: run events on Pub/Sub, and ``mlflow_info.json`` for the sweep."""

from warmboard.announce.announcer import Announcer
from warmboard.announce.by_id import announce_run
from warmboard.announce.publisher import Publisher, info_uri, publish, write_info

__all__ = ["Announcer", "Publisher", "announce_run", "info_uri", "publish", "write_info"]
