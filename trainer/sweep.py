"""``python -m trainer sweep``: several trainings in one command, to compare them."""

from __future__ import annotations

import dataclasses
import logging
import math
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trainer import program
from trainer.config import check_variable, read_text
from trainer.options import OptionError, Options, Parser, show
from warmboard import Settings

if TYPE_CHECKING:
    from trainer.data import Dataset

log = logging.getLogger(__name__)

TAG = "warmboard.sweep"
SORTED_BY = "test_recall_at_100"
SHOWN = (SORTED_BY, "test_recall_at_10", "test_loss")
ABOUT = """\
Train one model for every combination of the values to vary, one after another. The data are loaded once.

The options are those of `python -m trainer`. Options of model and training can be varied."""
EXAMPLES = """\
examples:
  python -m trainer sweep --vary learning_rate=0.001,0.003 --vary optimizer=adam,adagrad
  python -m trainer sweep --vary embedding_dim=16,32,64 --vary l2=0,1e-5,1e-4 --trials 4 --epochs 5
  python -m trainer sweep --vary query_layers=none,64,64-32 --quick-test-id 20
  python -m trainer sweep --config run.toml           with a table [sweep]: learning_rate = [0.001, 0.003]

Every run has the tag warmboard.sweep with the sweep's ID: in MLflow, search tags.`warmboard.sweep` = 'ID'.
A run that fails is reported, and the others are still trained.
Exit status: 0 all trained, 1 one failed, 2 wrong usage, 130 interrupted, 143 terminated."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """Every run of a sweep, before the first one starts."""

    options: Options
    settings: Settings
    combinations: Sequence[Values]
    sweep_id: str

    def run_options(self, position: int) -> Options:
        """Return one run's options: with its values, its quick-test ID and a name of its own."""
        values = self.combinations[position]
        first = self.options.quick_test_id
        number = None if first is None else read_text("quick_test_id", str(first + position))
        name = self.options.run_name or self.settings.mlflow_run_name
        varied = ", ".join(f"{key}={show(value)}" for key, value in values.items())
        return dataclasses.replace(
            self.options,
            **values,
            quick_test_id=number,
            run_name=f"{name}-{number or f'{self.sweep_id}-{position + 1}'} {varied}",
        )


@dataclass(frozen=True)
class Result:
    """The result of one run: the training, or the error."""

    values: Values
    name: str
    trained: program.Trained | None
    error: str | None

    @property
    def failed(self) -> bool:
        return self.trained is None

    def document(self) -> dict[str, Any]:
        document = program.document(self.trained) if self.trained else {"run_name": self.name}
        varied = {key: list(value) if isinstance(value, tuple) else value for key, value in self.values.items()}
        return {**document, "values": varied, "error": self.error}


def parser() -> Parser:
    parser = Parser(prog="python -m trainer sweep", description=ABOUT, epilog=EXAMPLES)
    group = parser.add_argument_group("sweep")
    group.add_argument(
        "--vary", action="append", metavar="NAME=V,V…",
        help="an option of model or training, and its values; a list of layers is written 64-32; may be repeated",
    )  # fmt: skip
    group.add_argument("--trials", type=int, metavar="N", help="only N of the combinations, drawn by --seed")
    return parser


def plan(given: Mapping[str, Any]) -> Plan:
    """Everything that can be checked before data are read. Raises OptionError, SettingError or StorageError."""
    read = program.config_of(given)
    options = program.options_of(given, read)
    vary = {**read.vary, **dict(_vary(text) for text in given.get("vary", ()))}
    if not vary:
        raise OptionError("nothing to vary: give --vary NAME=VALUE,VALUE or a table [sweep] in the config")
    trials = given.get("trials", read.trials)
    if trials is not None and trials < 1:
        raise OptionError(f"trials: {trials} is not a whole number from 1")
    started = datetime.now(UTC)
    planned = Plan(
        options,
        program.settings_of(options),
        combinations(vary, trials, options.seed),
        f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
    )
    for position in range(len(planned.combinations)):
        # An invalid combination is reported before the first run trains.
        planned.run_options(position)
    return planned


def combinations(vary: Mapping[str, Sequence[Any]], trials: int | None, seed: int) -> list[dict[str, Any]]:
    """Return every combination of the values, the last name's changing fastest; or ``trials`` of them, at random."""
    count = math.prod(map(len, vary.values()))
    chosen: Sequence[int] = range(count)
    if trials is not None and trials < count:
        chosen = sorted(random.Random(seed).sample(range(count), trials))
    return [_combination(vary, position) for position in chosen]


def run(plan: Plan) -> int:
    """Train every run of the plan, print a table of the results, and return the exit status."""
    dataset = program.prepare(plan.options, plan.settings)
    program.import_keras()
    count = len(plan.combinations)
    program.say(f"sweep {plan.sweep_id}: {count} runs")
    results: list[Result] = []
    interrupted = True
    try:
        for position in range(count):
            program.say(f"\n[{position + 1}/{count}]")
            results.append(_run_one(plan, position, dataset))
            plan = after(plan, results[-1])
        interrupted = False
    finally:
        # Also for an interrupted sweep.
        program.say("\n" + table(results, plan, interrupted=interrupted))
        if plan.options.json:
            runs = [result.document() for result in best_first(results)]
            content = {"sweep": plan.sweep_id, "interrupted": interrupted, "runs": runs}
            program.write_json(plan.options.json, content)
    wrong = any(result.failed or (plan.options.save and _unsaved(result)) for result in results)
    return 1 if wrong else 0


def best_first(results: Sequence[Result]) -> list[Result]:
    """Sort by recall, the best first. A recall of NaN comes after the numbers, failed runs come last."""

    def key(result: Result) -> tuple[int, float]:
        if result.trained is None:
            return 2, 0.0
        recall = result.trained.test[SORTED_BY]
        return (1, 0.0) if math.isnan(recall) else (0, -recall)

    return sorted(results, key=key)


def table(results: Sequence[Result], plan: Plan, *, interrupted: bool = False) -> str:
    """Return the results as a table, the best first."""
    names = list(plan.combinations[0])
    rows = [[*(key.removeprefix("test_") for key in SHOWN), *names, "run"]]
    for result in best_first(results):
        measured = [f"{result.trained.test[key]:.4f}" for key in SHOWN] if result.trained else ["FAILED", "", ""]
        where = (result.trained.run.run_id or "not in MLflow yet") if result.trained else str(result.error)
        rows.append([*measured, *(show(result.values[name]) for name in names), where])
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    failed = sum(result.failed for result in results)
    end = f"sweep {plan.sweep_id}: {len(results)} of {len(plan.combinations)} runs, {failed} failed"
    if interrupted:
        end += "; INTERRUPTED, the others were not trained"
    return "\n".join([*lines, end])


def after(plan: Plan, result: Result) -> Plan:
    """Return the plan for the next run: if the tracking server was down for this whole run, don't wait for it again."""
    if result.trained is None or result.trained.run.run_id:
        return plan
    return dataclasses.replace(plan, settings=dataclasses.replace(plan.settings, mlflow_ready_seconds=0))


def _run_one(plan: Plan, position: int, dataset: Dataset) -> Result:
    options = plan.run_options(position)
    values = plan.combinations[position]
    try:
        trained = program.train_once(dataset, options, plan.settings, {TAG: plan.sweep_id})
    except Exception as error:
        # Any error: the other runs may succeed, and the failure is in the table at the end.
        log.exception("Run %s failed", options.run_name)
        return Result(values, str(options.run_name), None, f"{type(error).__name__}: {error}".splitlines()[0])
    finally:
        _forget()
    return Result(values, str(options.run_name), trained, None)


def _forget() -> None:
    """Free the last model's graphs, and reset the numbers in Keras's names."""
    import keras

    keras.utils.clear_session()


def _unsaved(result: Result) -> bool:
    return result.trained is not None and result.trained.unsaved is not None


def _combination(vary: Mapping[str, Sequence[Any]], position: int) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, values in reversed(list(vary.items())):
        position, index = divmod(position, len(values))
        chosen[name] = values[index]
    return {name: chosen[name] for name in vary}


def _vary(text: str) -> tuple[str, tuple[Any, ...]]:
    """Parse ``learning_rate=0.001,0.003`` to a name and its values. Raises OptionError."""
    name, sign, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not sign or not values:
        raise OptionError(f"vary: {text!r} is not NAME=VALUE,VALUE")
    check_variable(name)
    return name, tuple(dict.fromkeys(read_text(name, value.strip()) for value in values.split(",")))
