"""Every option of a training, declared once for the command line, ``--config``, sweeps and the run's parameters."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from trainer.errors import TrainerError

COMPLETE_JOURNEY = "completejourney"
OPTIMIZERS = ("adam", "adamw", "nadam", "adagrad", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "exponential")
ACTIVATIONS = ("relu", "gelu", "silu", "elu", "tanh")
VAL_LOSS, VAL_RECALL = "val_loss", "val_recall_at_100"
DATA, MODEL, TRAINING, RUN = "data", "model", "training", "run"
SCHEMES = ("file", "gs")


class OptionError(TrainerError):
    """An option is unknown, or its value is invalid. The message names the option."""


@dataclass(frozen=True)
class Kind:
    """The type of an option: how its text is parsed, and its types in TOML.

    ``read`` raises ValueError with a message that starts with the text.
    """

    read: Callable[[str], Any]
    toml: tuple[type, ...]
    metavar: str


def _whole(least: int, most: int = 2**31 - 1) -> Kind:
    span = f"from {least}" if most == 2**31 - 1 else f"from {least} to {most}"

    def read(text: str) -> int:
        # Ten digits at most: Python does not convert thousands of them.
        if not (text.isascii() and text.isdecimal() and len(text) <= 10 and least <= int(text) <= most):
            raise ValueError(f"{text!r} is not a whole number {span}")
        return int(text)

    return Kind(read, (int,), "N")


def _number(holds: Callable[[float], bool], span: str) -> Kind:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and holds(value)):
            raise ValueError(f"{text!r} is not a number {span}")
        return value

    return Kind(read, (int, float), "X")


def _choice(*names: str) -> Kind:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"{text!r} is not one of {', '.join(names)}")
        return text

    return Kind(read, (str,), "{" + ",".join(names) + "}")


def _text(metavar: str) -> Kind:
    def read(text: str) -> str:
        if not text.strip():
            raise ValueError(f"{text!r} is empty")
        return text

    return Kind(read, (str,), metavar)


def read_place(text: str) -> str:
    """Return the name of a file or folder, local or in Cloud Storage, unchanged. Raises ValueError if it is invalid."""
    _text("").read(text)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme and scheme[1] not in SCHEMES:
        raise ValueError(f"{text!r} can't be reached: give a path, file:///PATH or gs://BUCKET/PATH")
    try:
        Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text!r}: {error}") from error
    return text


def _read_layers(text: str) -> tuple[int, ...]:
    parts = text.replace("-", ",").split(",")
    if text in ("", "none"):
        return ()
    if not all(part.isascii() and part.isdecimal() and len(part) <= 6 and int(part) for part in parts):
        raise ValueError(f"{text!r} is not a list of layer widths, such as 64,32, or none")
    return tuple(int(part) for part in parts)


def _read_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"


FROM_ZERO = _number(lambda value: value >= 0, "from 0")
SHARE = _number(lambda value: 0 < value < 1, "between 0 and 1")
LAYERS = Kind(_read_layers, (list,), "N,N…")
FLAG = Kind(_read_flag, (bool,), "")
SOURCE = Kind(read_place, (str,), "SOURCE")
FOLDER = Kind(read_place, (str,), "URI")
FILE = Kind(read_place, (str,), "FILE")


def _option(default: Any, group: str, kind: Kind, description: str) -> Any:
    return field(default=default, metadata={"group": group, "kind": kind, "help": description})


@dataclass(frozen=True, kw_only=True)
class Options:
    """One training's options. Layers are widths of hidden layers; None is one layer of ``embedding_dim``."""

    data: str = _option(
        COMPLETE_JOURNEY, DATA, SOURCE,
        f"a .csv or .parquet file (a path or gs://…), a folder or quoted pattern of them, or {COMPLETE_JOURNEY}",
    )  # fmt: skip
    max_interactions: int = _option(750_000, DATA, _whole(1), "use only the N latest interactions")
    min_buyers: int = _option(20, DATA, _whole(1), "leave out products with fewer than N buyers in training")
    validation_share: float = _option(
        0.1, DATA, SHARE, "share of the interactions to validate with, before those of the test"
    )
    test_share: float = _option(0.1, DATA, SHARE, "share of the interactions to test with, the latest")

    embedding_dim: int = _option(32, MODEL, _whole(1, 65_536), "size of the embeddings and of the towers' vectors")
    query_layers: tuple[int, ...] | None = _option(
        None, MODEL, LAYERS, "widths of the query tower's hidden layers: 64,32 or none (one layer of --embedding-dim)"
    )
    candidate_layers: tuple[int, ...] | None = _option(None, MODEL, LAYERS, "the same for the candidate tower")
    activation: str = _option("relu", MODEL, _choice(*ACTIVATIONS), "activation of hidden layers")
    dropout: float = _option(
        0.0, MODEL, _number(lambda v: 0 <= v < 1, "from 0 to below 1"), "dropout rate after each hidden layer"
    )
    normalize: bool = _option(False, MODEL, FLAG, "scale vectors to length 1; use a temperature such as 0.1")
    temperature: float = _option(1.0, MODEL, _number(lambda v: v > 0, "above 0"), "divisor of the scores in training")
    l2: float = _option(1e-5, MODEL, FROM_ZERO, "L2 regularisation")

    epochs: int = _option(20, TRAINING, _whole(1, 1_000_000), "number of epochs; with --early-stopping, the max")
    batch_size: int = _option(1024, TRAINING, _whole(2), "batch size, and number of products in a softmax")
    optimizer: str = _option("adam", TRAINING, _choice(*OPTIMIZERS), "optimizer of Keras, with its defaults")
    learning_rate: float = _option(0.003, TRAINING, FROM_ZERO, "learning rate; with a schedule, its peak")
    schedule: str = _option("constant", TRAINING, _choice(*SCHEDULES), "schedule of the learning rate")
    warmup_epochs: float = _option(
        0.0, TRAINING, FROM_ZERO, "epochs in which the learning rate first rises to its peak; may be 0.5"
    )
    decay_to: float = _option(
        0.01, TRAINING, _number(lambda v: 0 < v <= 1, "above 0, at most 1"),
        "final share of the peak, with cosine and exponential",
    )  # fmt: skip
    clip_norm: float = _option(0.0, TRAINING, FROM_ZERO, "max norm of the gradient of all weights; 0: no limit")
    early_stopping: int = _option(
        0, TRAINING, _whole(0), "stop after N epochs without a better --monitor, and restore the best weights; 0: never"
    )
    monitor: str = _option(VAL_LOSS, TRAINING, _choice(VAL_LOSS, VAL_RECALL), "metric that early stopping compares")
    seed: int = _option(1, TRAINING, _whole(0, 2**32 - 1), "random seed; the same seed gives the same result")

    quick_test_id: int | None = _option(None, RUN, _whole(1), "quick-test ID; the run is called quick-test-N")
    run_name: str | None = _option(
        None, RUN, _text("NAME"), "name of the run, instead of MLFLOW_RUN_NAME and the quick-test ID or time"
    )
    experiment: str | None = _option(
        None, RUN, _text("NAME"), "name of the experiment, instead of MLFLOW_EXPERIMENT_NAME"
    )
    output: str | None = _option(None, RUN, FOLDER, "folder or gs://… for the run's files, instead of OUTPUT_URI")
    save: bool = _option(True, RUN, FLAG, "save the model (model.keras) and its index (index.npz)")
    json: str | None = _option(None, RUN, _text("PATH"), "write the result to this file; - is standard output")
    progress: bool = _option(True, RUN, FLAG, "show bars, and a line for each epoch")

    def __post_init__(self) -> None:
        """Raise OptionError if two values contradict each other."""
        if self.validation_share + self.test_share >= 1:
            raise OptionError("validation_share and test_share leave nothing for training: their sum must be below 1")
        if self.warmup_epochs > self.epochs:
            raise OptionError(f"warmup_epochs is {self.warmup_epochs:g}, but there are {self.epochs} epochs")

    def layers(self, tower: str) -> tuple[int, ...]:
        """Return the widths of the hidden layers of ``query`` or ``candidate``."""
        chosen: tuple[int, ...] | None = getattr(self, f"{tower}_layers")
        return (self.embedding_dim,) if chosen is None else chosen


FIELDS: dict[str, Field[Any]] = {declared.name: declared for declared in fields(Options)}
VARIABLE = tuple(name for name, declared in FIELDS.items() if declared.metadata["group"] in (MODEL, TRAINING))
"""The options that a sweep can vary. Data options are not among them, because the data are loaded once."""


def show(value: Any) -> str:
    """Return a value as text for the run's parameters and names. The options can parse it again."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    return str(value)


def near(word: str, known: Iterable[str]) -> str:
    """Return the end of a message that suggests the known word closest to this one, if any is close."""
    close = difflib.get_close_matches(word.replace("-", "_"), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=120)


class Parser(argparse.ArgumentParser):
    """Has every option, without defaults: `parse_args` returns only the given ones."""

    def __init__(self, **about: Any) -> None:
        super().__init__(
            usage=f"{about['prog']} [options]",
            formatter_class=_Help,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
            **about,
        )
        groups: dict[str, Any] = {}
        for declared in FIELDS.values():
            name = declared.metadata["group"]
            if name not in groups:
                groups[name] = self.add_argument_group(name)
            _add(groups[name], declared)
        groups[RUN].add_argument(
            "--config",
            type=_reader(FILE),
            metavar=FILE.metavar,
            help="TOML file of options, such as learning_rate = 0.01; the command line overrides it",
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].split("=")[0].lstrip("-")
            flags = {option.lstrip("-").replace("-", "_"): option for option in self._option_string_actions}
            close = near(name, flags).removeprefix("; did you mean ").removesuffix("?")
            hint = f"; did you mean {flags[close]}?" if close else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return given

    def fail(self, error: OptionError) -> NoReturn:
        """Print usage and error, and exit with status 2."""
        self.error(str(error))


def _brief(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else show(value)


def _add(group: Any, declared: Field[Any]) -> None:
    kind: Kind = declared.metadata["kind"]
    flag = "--" + declared.name.replace("_", "-")
    default = "" if declared.default is None else f" ({_brief(declared.default)})"
    if kind is FLAG:
        text = declared.metadata["help"] + default
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        return

    text = declared.metadata["help"] + default
    group.add_argument(flag, type=_reader(kind), metavar=kind.metavar, help=text.replace("%", "%%"))


def _reader(kind: Kind) -> Callable[[str], Any]:
    """Raise argparse's own exception, because it shows the message of no other."""

    def read(text: str) -> Any:
        try:
            return kind.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read
