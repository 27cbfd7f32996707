"""File formats of an exported run. Each writer yields the file in pieces."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from tempfile import SpooledTemporaryFile
from typing import Any

from webapp.exports import cells
from webapp.exports.table import Axis, Row, WholeRun

BLOCK_ROWS = 5_000
IN_MEMORY = 16 * 1024 * 1024
PIECE = 256 * 1024
FIRST_COLUMNS = ("step", "time")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES_OF_RUN = ("mlflow_run_id", "run_name", "experiment_name", "status", "start_time", "end_time", "cached_at")
WORDS = {math.inf: "Infinity", -math.inf: "-Infinity"}


@dataclass(frozen=True)
class Format:
    """A file format: the ``suffix`` of its name, its media type, its writer, and whether it is compressed."""

    suffix: str
    media: str
    title: str
    write: Callable[[WholeRun], Iterator[bytes]]
    compressed: bool = False


def _json(run: WholeRun) -> Iterator[bytes]:
    """JSON of the type ``Export``, metric by metric."""
    head = {"available": True} | _about(run) | {
        "final_metrics": run.history["final_metrics"], "non_finite": run.non_finite(),
        "non_finite_unlisted": run.unlisted, "axes": list(map(_axis, run.axes)),
    }  # fmt: skip
    yield _text(head)[:-1].encode() + b', "metrics": {'
    for number, (key, column) in enumerate(run.columns.items()):
        separator = ", " if number else ""
        metric = {"axis": column.axis, "values": list(map(_strict, column.values))}
        yield f"{separator}{_text(key)}: {_text(metric)}".encode()
    yield b"}}"


def _csv(run: WholeRun) -> Iterator[bytes]:
    """A row per step and time, a column per metric; a cell is empty if the metric has no point there."""
    heads: list[list[cells.Cell]] = [[*_heads(run)]]
    return cells.pieces(chain([heads], map(_cells, _blocks(run))))


def _parquet(run: WholeRun) -> Iterator[bytes]:
    """The same table, typed; parameters and other data are JSON in the file's metadata, under ``warmboard``."""
    # Imported here: it takes half a second and 40 MB, which most processes never need.
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    types = [pyarrow.int64(), pyarrow.timestamp("ms", "UTC"), *[pyarrow.float64()] * len(run.columns)]
    schema = pyarrow.schema(zip(_heads(run), types, strict=True), {"warmboard": _text(_about(run))})
    with SpooledTemporaryFile(IN_MEMORY) as file:
        with ParquetWriter(file, schema, compression="zstd") as writer:
            for block in _blocks(run):
                steps, times, values = zip(*block, strict=True)
                columns = [steps, times, *zip(*values, strict=True)]
                arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
                writer.write_batch(pyarrow.record_batch(arrays, schema))
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


FORMATS = (
    Format("json", "application/json", "Run as JSON", _json),
    Format("csv", cells.MEDIA, "Run as a table, CSV", _csv),
    Format("parquet", "application/vnd.apache.parquet", "Run as a table, Parquet", _parquet, compressed=True),
)


def _blocks(run: WholeRun) -> Iterator[list[Row]]:
    rows = run.rows()
    while block := list(islice(rows, BLOCK_ROWS)):
        yield block


def _cells(block: list[Row]) -> list[list[cells.Cell]]:
    return [[step, _moment(time), *values] for step, time, values in block]


def _heads(run: WholeRun) -> list[str]:
    """The names of the columns. If a metric is called ``step``, the column of steps is ``_step``."""
    return [*("_" * (name in run.columns) + name for name in FIRST_COLUMNS), *run.columns]


def _axis(axis: Axis) -> dict[str, list[int] | int]:
    return {"steps": axis.steps.tolist(), "timestamps": axis.timestamps.tolist(), "steps_total": len(axis)}


def _strict(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _about(run: WholeRun) -> dict[str, Any]:
    return {name: run.history[name] for name in (*NAMES_OF_RUN, "params", "tags", "tags_cut", "tags_left_out")}


def _text(value: object) -> str:
    """Strict JSON. Raises ValueError for NaN and infinity."""
    return json.dumps(value, allow_nan=False)


def number(value: float | None) -> str | float | None:
    """The value, or a word if it is not finite. Python writes the shortest digits that read back as the same number."""
    if value is None or math.isfinite(value):
        return value
    return WORDS.get(value, "NaN")


def _moment(milliseconds: int) -> str:
    """The time in ISO 8601; empty for one beyond the calendar, which MLflow accepts."""
    try:
        moment = EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return ""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
