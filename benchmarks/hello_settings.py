"""The webapp's settings, with hello, world as the only view."""

from webapp.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.hello"
