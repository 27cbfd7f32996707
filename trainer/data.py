"""Interactions: which buyer bought which product, and when. They are read, validated, split by time and numbered.

A source has the columns ``buyer_id``, ``product_id`` and ``timestamp``. The vocabulary is the buyers and products of
the *training* part. Validation and test interactions with others are dropped and counted, because the model knows
identifiers only. An exact repetition of an interaction, including its time, counts once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainer import files
from trainer.errors import DataError
from trainer.options import COMPLETE_JOURNEY, Options

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.1
# With one buyer or product there is nothing to recommend.
MIN_IDS = 2
# NumPy stores every identifier at the width of the longest.
MAX_ID_LENGTH = 1_000
SHOWN = 60
ISO = "ISO 8601"
SECONDS = "seconds since 1970"
LATEST = pd.Timestamp("2200-01-01", tz="UTC")

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Part:
    """Interactions in order of time: in interaction *i*, buyer ``buyers[i]`` bought product ``products[i]``.

    Both arrays have shape ``(n,)`` and contain row numbers of the embeddings. ``dropped`` counts the interactions of
    this part whose buyer or product is not in the vocabulary.
    """

    buyers: Rows
    products: Rows
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.buyers)


@dataclass(frozen=True)
class Dataset:
    """The three parts, in order of time, and the identifiers of their row numbers.

    ``buyer_ids`` and ``product_ids`` are arrays of text or of whole numbers: entry *i* is the identifier of row *i*.
    ``repeated`` counts the exact repetitions that were left out.
    """

    train: Part
    validation: Part
    test: Part
    buyer_ids: npt.NDArray[Any]
    product_ids: npt.NDArray[Any]
    repeated: int = 0

    @property
    def buyers(self) -> int:
        return len(self.buyer_ids)

    @property
    def products(self) -> int:
        return len(self.product_ids)


def prepare(options: Options, emulator: str | None = None) -> Dataset:
    """Load and split the data by the options. ``emulator`` is that of Cloud Storage. Raises DataError, StorageError."""
    return split(
        load(options.data, emulator, progress=options.progress),
        options.max_interactions,
        options.min_buyers,
        options.validation_share,
        options.test_share,
    )


def load(source: str, emulator: str | None = None, *, progress: bool = False) -> pd.DataFrame:
    """Load interactions from CSV or Parquet files (a path, a folder, a pattern or ``gs://…``), or ``completejourney``.

    Returns the three `files.COLUMNS`, ``timestamp`` in UTC. Raises DataError, which names the file, the column and the
    row, or StorageError.
    """
    if source == COMPLETE_JOURNEY:
        return _checked(files.complete_journey(), source)
    names = files.find(source)
    frames = [_checked(frame, name) for name, frame in files.read_all(names, emulator, progress)]
    _check_alike(frames, names)
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def split(
    interactions: pd.DataFrame,
    max_interactions: int | None = None,
    min_buyers: int = 1,
    validation_share: float = VALIDATION_SHARE,
    test_share: float = TEST_SHARE,
) -> Dataset:
    """Split by time: the last ``test_share`` is to test, ``validation_share`` before it to validate, the rest to train.

    Only the latest ``max_interactions`` are used. The vocabulary is the products that at least ``min_buyers`` buyers
    bought in the training part, and the buyers of those. Raises DataError if a part is empty, or if training has only
    one buyer or product.
    """
    once = interactions.drop_duplicates()
    # A stable sort: interactions at the same time keep their order in the file, so equal files have equal splits.
    ordered = once.sort_values("timestamp", kind="stable")
    if max_interactions is not None:
        ordered = ordered.tail(max_interactions)
    first_test = round(len(ordered) * (1 - test_share))
    first_validation = round(len(ordered) * (1 - test_share - validation_share))
    train = _frequent(ordered.iloc[:first_validation], min_buyers)
    buyers = pd.Index(train["buyer_id"].unique())
    products = pd.Index(train["product_id"].unique())
    parts = {
        "training": _number(train, buyers, products),
        "validation": _number(ordered.iloc[first_validation:first_test], buyers, products),
        "test": _number(ordered.iloc[first_test:], buyers, products),
    }
    _check_enough(parts, len(ordered), min_buyers, buyers, products)
    return Dataset(
        parts["training"], parts["validation"], parts["test"], _ids(buyers), _ids(products),
        repeated=len(interactions) - len(once),
    )  # fmt: skip


def _check_enough(
    parts: dict[str, Part], interactions: int, min_buyers: int, buyers: pd.Index, products: pd.Index
) -> None:
    for name, part in parts.items():
        if not len(part):
            raise DataError(
                f"no interaction is left for {name}: {interactions:,} in all, of which {part.dropped:,} of this part "
                f"have a buyer or product that training doesn't know (products need {min_buyers} buyers there)"
            )
    for name, ids in (("buyer", buyers), ("product", products)):
        if len(ids) < MIN_IDS:
            raise DataError(f"training has one {name} only ({ids[0]}): a recommender needs at least {MIN_IDS}")


def _checked(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the three columns with valid values. Raises DataError, which names the first invalid one."""
    if frame.empty:
        raise DataError(f"{source}: there are columns but no rows")
    frame = frame.reset_index(drop=True)
    for column in ("buyer_id", "product_id"):
        frame[column] = _identifiers(frame[column], source)
    times, kind = _times(frame["timestamp"])
    wanted = f"row 1 is {kind}, this is not" if pd.notna(times.iloc[0]) else f"{ISO}, or {SECONDS}"
    _refuse(frame["timestamp"], times.isna(), source, f"is not a time ({wanted})")
    _refuse(frame["timestamp"], times >= LATEST, source, "is after the year 2200: numbers are seconds since 1970")
    return frame.assign(timestamp=times)


def _identifiers(column: pd.Series, source: str) -> pd.Series:
    """Return the column as text or whole numbers. Raises DataError if a value is missing or of another type."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    missing = column.isna()
    if not pd.api.types.is_numeric_dtype(column):
        # As text: comparing a list with "" fails.
        text = column.astype(str)
        missing |= text.str.strip() == ""
        _refuse(column, text.str.len() > MAX_ID_LENGTH, source, f"is longer than {MAX_ID_LENGTH:,} characters")
    _refuse(column, missing, source, "is empty")
    if pd.api.types.infer_dtype(column) not in ("string", "integer"):
        row, value = _strange(column)
        raise DataError(
            f"{source}: column {column.name}, row {row + 1}: {value!r} is of type {type(value).__name__}; "
            "identifiers are all text or all whole numbers; rows count from 1"
        )
    return column


def _strange(column: pd.Series) -> tuple[int, Any]:
    """Return row (from 0) and value of the first value that is not an identifier, or not of the first one's type."""
    values = column.tolist()
    kind = str if isinstance(values[0], str) else int
    wrong = (row for row, value in enumerate(values) if not isinstance(value, kind) or isinstance(value, bool))
    row = next(wrong, 0)
    return row, values[row]


def _check_alike(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> None:
    for column in ("buyer_id", "product_id"):
        kinds = [pd.api.types.is_integer_dtype(frame[column]) for frame in frames]
        if len(set(kinds)) > 1:
            numbers, texts = names[kinds.index(True)], names[kinds.index(False)]
            raise DataError(
                f"column {column} is whole numbers in {numbers}, but text in {texts} (as in every CSV file): "
                "files that are read together have the same types"
            )


def _times(column: pd.Series) -> tuple[pd.Series, str]:
    """Return the times in UTC, NaT if invalid, and their kind, which the first row decides.

    Numbers are seconds since 1970, but eight digits that form a date are that date.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(column, utc=True), ISO
    if pd.api.types.is_bool_dtype(column):
        return pd.Series(pd.NaT, index=column.index, dtype="datetime64[ns, UTC]"), ISO
    # As text: a Parquet file may contain dates, decimals or other types.
    column = column if pd.api.types.is_numeric_dtype(column) else column.astype(str)
    seconds = pd.to_numeric(column, errors="coerce")
    if pd.notna(seconds.iloc[0]) and not _is_date(str(column.iloc[0])):
        return pd.to_datetime(seconds, unit="s", utc=True, errors="coerce"), SECONDS
    text = column.astype(str).str.removesuffix(".0")
    times = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    # Otherwise ten digits could be parsed as a date and an hour.
    return times.mask(seconds.notna() & (text.str.strip().str.len() != len("20260102"))), ISO


def _is_date(text: str) -> bool:
    digits = text.strip().removesuffix(".0")
    dated = re.fullmatch("(19|20|21)[0-9]{6}", digits) is not None
    return dated and pd.notna(pd.to_datetime(digits, format="%Y%m%d", errors="coerce"))


def _refuse(column: pd.Series, wrong: pd.Series, source: str, why: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong.to_numpy())[0])
        more = int(wrong.sum()) - 1
        others = f" (and {more:,} more rows)" if more else ""
        shown = _shown(column.iloc[row])
        raise DataError(f"{source}: column {column.name}, row {row + 1}: {shown} {why}{others}; rows count from 1")


def _shown(value: Any) -> str:
    text = "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}…"


def _frequent(train: pd.DataFrame, min_buyers: int) -> pd.DataFrame:
    buyers = train.drop_duplicates(["buyer_id", "product_id"])["product_id"].value_counts()
    return train[train["product_id"].isin(buyers.index[buyers >= min_buyers])]


def _number(part: pd.DataFrame, buyers: pd.Index, products: pd.Index) -> Part:
    buyer_rows = buyers.get_indexer(part["buyer_id"])
    product_rows = products.get_indexer(part["product_id"])
    known = (buyer_rows >= 0) & (product_rows >= 0)
    return Part(
        buyers=buyer_rows[known].astype(np.int32),
        products=product_rows[known].astype(np.int32),
        dropped=int((~known).sum()),
    )


def _ids(index: pd.Index) -> npt.NDArray[Any]:
    """Return an array that is not of objects: those can only be saved as a pickle."""
    whole = pd.api.types.is_integer_dtype(index.dtype)
    return index.to_numpy() if whole else np.array(index.tolist(), dtype=np.str_)
