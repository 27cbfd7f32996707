"""The webapp's settings, with nothing behind them but hello, world."""

from webapp.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.hello"
