"""One training as a tracked run, with its files and a report at the end. A sweep does this several times."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import config
from trainer.config import Config
from trainer.options import OptionError, Options
from warmboard import Settings, TrackedRun, start_run
from warmboard.contract.cloudevents import format_time
from warmboard.errors import StorageError

if TYPE_CHECKING:
    from trainer.data import Dataset
    from trainer.train import Outcome

log = logging.getLogger(__name__)
ANNOUNCEMENT = re.compile(rb"before absl::InitializeLog\(\) is called|oneDNN custom operations are on")


@dataclass(frozen=True)
class Trained:
    """A successful training whose run has ended. ``unsaved`` is the reason if the model is not saved.

    ``seconds`` has the durations ``start``, ``training``, ``test`` and ``total``.
    """

    run: TrackedRun
    outcome: Outcome
    seconds: Mapping[str, float]
    unsaved: str | None

    @property
    def test(self) -> Mapping[str, float]:
        return self.outcome.test


def config_of(given: Mapping[str, Any]) -> Config:
    """Read the file of ``--config``, if given. Raises OptionError, SettingError or StorageError."""
    if "config" not in given:
        return Config()
    return config.read(given["config"], Settings.read().storage_emulator_host)


def options_of(given: Mapping[str, Any], file: Config) -> Options:
    """Return the defaults, overridden by the file, overridden by the command line. Raises OptionError."""
    known = {field.name for field in dataclasses.fields(Options)}
    return Options(**{**file.options, **{name: value for name, value in given.items() if name in known}})


def settings_of(options: Options) -> Settings:
    """Return the environment's settings, overridden by the options. Raises SettingError; OptionError for --json."""
    if options.json not in (None, "-"):
        _check_json(Path(options.json or ""))
    settings = Settings.read()
    return dataclasses.replace(
        settings,
        mlflow_experiment_name=options.experiment or settings.mlflow_experiment_name,
        output_uri=options.output or settings.output_uri,
    )


def prepare(options: Options, settings: Settings) -> Dataset:
    """Load and split the data, and print a summary. Raises DataError or StorageError."""
    from trainer import data

    dataset = data.prepare(options, settings.storage_emulator_host)
    say(_summary(dataset))
    return dataset


def train_once(
    dataset: Dataset, options: Options, settings: Settings, tags: Mapping[str, str] | None = None
) -> Trained:
    """Train one run and print a report. Raises TrackingError if the tracking server rejects the run."""
    began = time.monotonic()
    import_keras()
    from trainer.progress import Progress
    from trainer.train import train

    with start_run(quick_test_id=options.quick_test_id, run_name=options.run_name, tags=tags, settings=settings) as run:
        say(f"run {run.run_name} ({run.run_id or 'MLflow is down'}) in experiment {settings.mlflow_experiment_name}")
        ready = time.monotonic()
        outcome = train(dataset, options, run, [Progress()] if options.progress else [])
        unsaved = _save(outcome, dataset, run) if options.save else "--no-save"
    seconds = {
        "start": ready - began,
        "training": outcome.training_seconds,
        "test": outcome.test_seconds,
        "total": time.monotonic() - began,
    }
    trained = Trained(run, outcome, seconds, unsaved)
    _report(trained)
    return trained


def import_keras() -> None:
    """Import Keras. That takes seconds, so it comes after checking usage and data, and before the run starts."""
    quiet_tensorflow()
    with _without_announcements():
        import trainer.train  # noqa: F401


def quiet_tensorflow() -> None:
    """Set environment variables that silence TensorFlow; call it before the first import."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def _without_announcements() -> Iterator[None]:
    """Drop TensorFlow's oneDNN message, which it writes to standard error at any log level. Other lines are kept."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            captured.seek(0)
            for line in captured:
                if not ANNOUNCEMENT.search(line):
                    os.write(2, line)


def say(text: str) -> None:
    """Print a line to standard error."""
    print(text, file=sys.stderr, flush=True)


def document(trained: Trained) -> dict[str, Any]:
    """Return the result for programs, for --json. ``published_at`` is when publishing started; None if it failed."""
    run = trained.run
    return {
        "run_id": run.run_id,
        "run_name": run.run_name,
        "experiment_id": run.experiment_id,
        "quick_test_id": run.quick_test_id,
        "epochs": run.epochs,
        "best_epoch": trained.outcome.best_epoch,
        "seconds": {name: round(value, 3) for name, value in trained.seconds.items()},
        "test": dict(trained.test),
        "values_sent": run.sent,
        "values_waiting": run.waiting,
        "values_refused": run.rejected,
        "values_lost": run.lost,
        "waiting_at": run.waiting_at,
        "mlflow_info_uri": run.info_uri,
        "model_uri": run.model_uri,
        "index_uri": run.index_uri,
        "published_at": run.published_at and format_time(run.published_at),
    }


def write_json(path: str, content: Any) -> None:
    """Write the document as one line, to standard output if ``path`` is ``-``. Raises StorageError.

    Numbers that are not finite become null, because JSON has none.
    """
    text = json.dumps(_finite(content), allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error}") from error


def _check_json(path: Path) -> None:
    try:
        if path.is_dir():
            raise OptionError(f"json: {path} is a folder; give a file")
        if not path.absolute().parent.is_dir():
            raise OptionError(f"json: there is no folder for {path}")
    except OSError as error:
        raise OptionError(f"json: {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _save(outcome: Outcome, dataset: Dataset, run: TrackedRun) -> str | None:
    """Save the model and its index. Return the reason if that failed: the run's metrics are valid without them."""
    from trainer.save import save

    try:
        run.model_uri, run.index_uri = save(outcome.model, dataset, run.output_uri, run.settings.storage_emulator_host)
    except StorageError as error:
        log.error("The model is not saved: %s", error)
        return str(error)
    return None


def _summary(dataset: Dataset) -> str:
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    text = ", ".join(f"{name} {len(part):,}" for name, part in parts.items())
    dropped = dataset.validation.dropped + dataset.test.dropped
    repeated = f"; {dataset.repeated:,} exact repetitions counted once" if dataset.repeated else ""
    return (
        f"{dataset.buyers:,} buyers, {dataset.products:,} products; interactions: {text}"
        f" ({dropped:,} of validation and test dropped: buyer or product not in training{repeated})"
    )


def _report(trained: Trained) -> None:
    run, outcome = trained.run, trained.outcome
    best = "" if outcome.best_epoch is None else f" (tested with the weights of epoch {outcome.best_epoch + 1})"
    say("test    " + "  ".join(f"{key.removeprefix('test_')} {value:.4f}" for key, value in trained.test.items()))
    name = run.run_id or f"{run.run_name}, not in MLflow yet"
    page = f", {run.url}" if run.url else ""
    say(f"run     {name}: {run.epochs} epochs in {trained.seconds['training']:.0f} s{best}{page}")
    _report_values(run)
    say(f"model   {run.model_uri or f'NOT SAVED: {trained.unsaved}'}")
    if run.index_uri:
        say(f"index   {run.index_uri}")
    _report_announcement(run)
    if run.page_url:
        say(f"page    {run.page_url}")


def _report_values(run: TrackedRun) -> None:
    say(f"logged  {run.sent:,} values")
    if run.waiting_at:
        what = f"{run.waiting:,} values are" if run.waiting else "the run's end is"
        # warmboard flush finds a spool on this machine without its name.
        where = f" {run.waiting_at}" if run.waiting_at.startswith("gs://") else ""
        say(f"        {what} NOT SENT to MLflow, but kept in {run.waiting_at}")
        say(f"        when MLflow is up again, send it with: warmboard flush{where}")
    if run.rejected:
        say(
            f"        {run.rejected:,} values were REJECTED by MLflow: kept with the reason in {run.settings.spool_dir}"
        )
    if run.lost:
        say(f"        {run.lost:,} values are LOST: neither MLflow nor this machine's disk accepted them")


def _report_announcement(run: TrackedRun) -> None:
    say(f"info    {run.info_uri or 'NOT WRITTEN'}")
    if run.published_at:
        say(f"event   published to {run.settings.pubsub_topic}")
    elif not run.run_id:
        say("event   NOT PUBLISHED yet: warmboard flush publishes it, once MLflow has the run")
    elif run.info_uri:
        say("event   NOT PUBLISHED. The workers' sweep finds the run by its mlflow_info.json. To publish it now:")
        say(f"        warmboard publish {run.info_uri}")
    else:
        say("event   NOT PUBLISHED. The workers' sweep finds the run in MLflow")
