from __future__ import annotations

import datetime
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer import bar, files
from trainer.data import load, prepare, split
from trainer.errors import DataError
from trainer.options import Options
from warmboard.errors import StorageError

HEADER = "buyer_id,product_id,timestamp\n"
GOOD = "007,p1,2026-01-02T10:30:00Z\n007,p2,2026-01-01\nb,p1,2026-01-03 08:00:00+02:00\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


class TestLoading:
    def test_csv(self, tmp_path: Path) -> None:
        frame = load(write(tmp_path / "good.csv", HEADER.replace("\n", ",price\n") + GOOD.replace("\n", ",1.5\n")))
        assert list(frame.columns) == ["buyer_id", "product_id", "timestamp"]
        assert list(frame["buyer_id"]) == ["007", "007", "b"]
        assert list(frame["timestamp"].dt.strftime("%d %H:%M")) == ["02 10:30", "01 00:00", "03 06:00"]

    def test_seconds_since_1970(self, tmp_path: Path) -> None:
        frame = load(write(tmp_path / "unix.csv", HEADER + "a,p,1767349800\nb,p,1767349801.5\n"))
        assert frame["timestamp"].iloc[0] == pd.Timestamp("2026-01-02T10:30:00Z")

    def test_eight_digits_that_form_a_date_are_that_date(self, tmp_path: Path) -> None:
        frame = load(write(tmp_path / "dates.csv", HEADER + "a,p,20240102\nb,p,20240103\n"))
        assert list(frame["timestamp"].dt.strftime("%Y-%m-%d")) == ["2024-01-02", "2024-01-03"]
        numbers = pd.DataFrame({"buyer_id": [1, 2], "product_id": [3, 4], "timestamp": [20240102, 20240103]})
        numbers.to_parquet(tmp_path / "dates.parquet")
        assert load(str(tmp_path / "dates.parquet"))["timestamp"].iloc[1] == pd.Timestamp("2024-01-03", tz="UTC")
        seconds = load(write(tmp_path / "seconds.csv", HEADER + "a,p,20241302\nb,p,20241303\n"))
        assert seconds["timestamp"].iloc[0].year == 1970

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (
                (HEADER + "a,p,2026-01-01\nb,caf\xe9,2026-01-02\n").encode("cp1252"),
                "column product_id, row 2 .* is not UTF-8; save",
            ),
            (f"prix\xe9,{HEADER}1,a,p,2026-01-01\n".encode("cp1252"), "it is not UTF-8; save the file as UTF-8"),
            ((HEADER + "a,p,2026-01-01\n").encode("utf-16"), "it is UTF-16 .*; save the file as UTF-8"),
            ((HEADER + "a,p,2026-01-01\n").encode("utf-16-be"), "it is UTF-16 .*; save the file as UTF-8"),
        ],
    )
    def test_a_csv_file_in_another_encoding(self, tmp_path: Path, data: bytes, message: str) -> None:
        (tmp_path / "bad.csv").write_bytes(data)
        with pytest.raises(DataError, match=message):
            load(str(tmp_path / "bad.csv"))

    def test_a_byte_order_mark_is_not_part_of_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "good.csv").write_bytes((HEADER + GOOD).encode("utf-8-sig"))
        assert len(load(str(tmp_path / "good.csv"))) == 3

    def test_two_columns_of_one_name_in_parquet(self, tmp_path: Path) -> None:
        column = pa.array(["a"])
        names = ["buyer_id", "buyer_id", "product_id", "timestamp"]
        pq.write_table(pa.Table.from_arrays([column] * 4, names=names), tmp_path / "bad.parquet")
        with pytest.raises(DataError, match=r"bad\.parquet: 2 columns are called buyer_id; leave one"):
            load(str(tmp_path / "bad.parquet"))

    def test_a_uri_is_decoded(self, tmp_path: Path) -> None:
        folder = tmp_path / "100 % naïve #1?"
        folder.mkdir()
        write(folder / "good.csv", HEADER + GOOD)
        assert len(load((folder / "good.csv").as_uri())) == len(load(folder.as_uri())) == 3
        assert len(load("file://localhost" + folder.as_uri().removeprefix("file://"))) == 3

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("s3://bucket/x.csv", "can't be reached: give a path"),
            ("GS://bucket/x.csv", "can't be reached: give a path"),
            ("file://elsewhere/x.csv", "names another machine"),
            ("~nosuchuser/x.csv", "'~nosuchuser/x.csv': "),
            ("x" * 5000 + ".csv", "File name too long"),
        ],
    )
    def test_invalid_file_names(self, source: str, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load(source)
        assert "\n" not in str(caught.value)

    def test_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "good.parquet"
        times = pd.to_datetime(["2026-01-01", "2026-01-02"])
        pd.DataFrame({"buyer_id": [1, 2], "product_id": [3, 4], "timestamp": times}).to_parquet(path)
        assert list(load(str(path))["product_id"]) == [3, 4]

    def test_complete_journey(self) -> None:
        frame = load("completejourney")
        assert len(frame) == 1_469_307
        assert frame["buyer_id"].nunique() == 2_469

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "empty"),
            (HEADER, "no rows"),
            ("buyer_id,timestamp\na,2026-01-01\n", "column product_id is missing; columns found: buyer_id, timestamp"),
            (HEADER + "a,p,2026-01-01\nb,p,yesterday\n", r"column timestamp, row 2: 'yesterday' is not a time"),
            (
                HEADER + "a,p,1767349800\nb,p,2026-01-01\n",
                r"column timestamp, row 2: '2026-01-01' is not a time .row 1 is seconds since 1970, this is not",
            ),
            (HEADER + "a,p,2026-01-01\nb,p,\nc,p,\n", r"column timestamp, row 2: '' is not a time.*and 1 more rows"),
            (HEADER + "a,p,2026-01-01\n,p,2026-01-01\n", "column buyer_id, row 2: '' is empty"),
            (
                HEADER + "a,p,2026-01-01\nb,p,1712102000\n",
                r"row 2: '1712102000' is not a time .row 1 is ISO 8601, this is not",
            ),
            (
                HEADER + "a,p,20260101\nb,p,1712102000\n",
                r"row 2: '1712102000' is not a time .row 1 is ISO 8601, this is not",
            ),
            (HEADER + "a,p,2026-01-01\n  ,p,2026-01-01\n", "column buyer_id, row 2: '  ' is empty"),
            (
                HEADER + "a,p,2026-01-01\nb," + "x" * 1001 + ",2026-01-01\n",
                "product_id, row 2: 'x{60}'… is longer than 1,000",
            ),
            ("buyer_id," + HEADER + "a,b,p,2026-01-01\n", "bad.csv: 2 columns are called buyer_id; leave one"),
            (HEADER + "a,,2026-01-01\n", "column product_id, row 1: '' is empty"),
            (HEADER + "a,p,2026-01-01\nb,p,2026-01-01,surplus\n", "line 3"),
            (HEADER + "x,a,p,2026-01-01\ny,b,p,2026-01-01\n", "row 1 has more values than the first line names"),
            (HEADER + "a,p,2026-01-01\nb,p\n", "column timestamp, row 2: '' is not a time"),
            (HEADER + 'a,"p,2026-01-01\nb,p,2026-01-01\n', "not a readable CSV file: .*EOF inside string"),
            (HEADER + "a,p,1767349800000\n", "column timestamp, row 1: '1767349800000' is after the year 2200"),
            (HEADER.replace(",", ";") + "a;p;2026-01-01\n", "buyer_id is missing; columns found: buyer_id;product_id;"),
        ],
    )
    def test_an_error_names_column_and_row(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            load(write(tmp_path / "bad.csv", text))

    def test_malformed_parquet(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="not a readable Parquet file"):
            load(write(tmp_path / "bad.parquet", "hello"))
        path = tmp_path / "holes.parquet"
        pd.DataFrame({"buyer_id": [1, None], "product_id": [3, 4], "timestamp": [1.0, 2.0]}).to_parquet(path)
        with pytest.raises(DataError, match="column buyer_id, row 2: '' is empty"):
            load(str(path))

    @pytest.mark.parametrize(
        ("column", "values", "message"),
        [
            ("buyer_id", [1.5, 2.5], r"column buyer_id, row 1: 1\.5 is of type float"),
            ("product_id", [True, False], "column product_id, row 1: True is of type bool"),
            ("buyer_id", [b"a", b"b"], "column buyer_id, row 1: b'a' is of type bytes"),
            ("buyer_id", [["a"], ["b"]], "column buyer_id, row 1: .* is of type ndarray"),
            ("buyer_id", ["a", ""], "column buyer_id, row 2: '' is empty"),
            ("timestamp", [True, False], "column timestamp, row 1: 'True' is not a time"),
            ("timestamp", [["a"], ["b"]], "column timestamp, row 1: .* is not a time"),
            ("timestamp", [1e9, None], "column timestamp, row 2: '' is not a time"),
        ],
    )
    def test_parquet_of_other_types(self, tmp_path: Path, column: str, values: list[Any], message: str) -> None:
        frame = pd.DataFrame({"buyer_id": [1, 2], "product_id": [3, 4], "timestamp": [1.0, 2.0]})
        frame[column] = pd.Series(values)
        frame.to_parquet(tmp_path / "odd.parquet")
        with pytest.raises(DataError, match=message):
            load(str(tmp_path / "odd.parquet"))

    def test_parquet_without_a_column(self, tmp_path: Path) -> None:
        pd.DataFrame({"buyer_id": [1], "timestamp": [1.0]}).to_parquet(tmp_path / "less.parquet")
        with pytest.raises(DataError, match="column product_id is missing; columns found: buyer_id, timestamp"):
            load(str(tmp_path / "less.parquet"))

    def test_parquet_as_other_programs_write_it(self, tmp_path: Path) -> None:
        frame = pd.DataFrame(
            {
                "buyer_id": pd.Series(["a", "b"], dtype="category"),
                "product_id": pd.Series([1, 2], dtype="Int64"),
                "timestamp": [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)],
            }
        )
        frame.set_index("timestamp").to_parquet(tmp_path / "good.parquet")
        read = load(str(tmp_path / "good.parquet"))
        assert (list(read["buyer_id"]), list(read["product_id"])) == (["a", "b"], [1, 2])
        assert read["timestamp"].iloc[1] == pd.Timestamp("2026-01-02", tz="UTC")

    def test_several_files_are_read_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        write(tmp_path / "2.csv", HEADER + "b,q,2026-01-02\n")
        write(tmp_path / "1.csv", HEADER + "a,p,2026-01-01\n")
        write(tmp_path / "_SUCCESS", "")
        pd.DataFrame({"buyer_id": ["c"], "product_id": ["r"], "timestamp": ["2026-01-03"]}).to_parquet(
            tmp_path / "3.parquet"
        )
        assert list(load(str(tmp_path))["buyer_id"]) == ["a", "b", "c"]
        assert list(load(tmp_path.as_uri())["product_id"]) == ["p", "q", "r"]
        assert list(load(str(tmp_path / "[23].*"))["buyer_id"]) == ["b", "c"]

    def test_one_bad_file_of_several_is_named(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", HEADER + "a,p,2026-01-01\n")
        write(tmp_path / "2.csv", HEADER + "a,p,2026-01-01\nb,q,x\n")
        with pytest.raises(DataError, match=r"2\.csv: column timestamp, row 2: 'x' is not a time"):
            load(str(tmp_path))

    def test_files_of_different_types_are_not_mixed(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", HEADER + "1,p,2026-01-01\n")
        pd.DataFrame({"buyer_id": [1], "product_id": ["p"], "timestamp": [1.0]}).to_parquet(tmp_path / "2.parquet")
        with pytest.raises(DataError, match=r"buyer_id is whole numbers in .*2\.parquet, but text in .*1\.csv"):
            load(str(tmp_path))

    def test_a_folder_or_pattern_without_files(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no \.csv and no \.parquet file is there"):
            load(str(tmp_path))
        with pytest.raises(DataError, match=r"no \.csv and no \.parquet file is there"):
            load(str(tmp_path / "*.csv"))
        with pytest.raises(DataError, match=r"neither \.csv nor \.parquet"):
            load("gs://bucket/folder")

    def test_reading_a_large_file_shows_progress_on_a_terminal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(bar, "REDRAW_SECONDS", 0)
        path = write(tmp_path / "large.csv", HEADER + "a,p,2026-01-01\n" * 100_000)
        assert len(load(path, progress=True)) == 100_000
        assert "reading data  ████" in terminal.getvalue()
        assert terminal.getvalue().endswith("\r\x1b[K")
        terminal.truncate(0)
        load(path, progress=False)
        assert terminal.getvalue() == ""

    def test_rows_are_counted_through_a_long_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "ROWS_AT_ONCE", 3)
        rows = [f"b{row},p,2026-01-01\n" for row in range(1, 9)]
        assert list(load(write(tmp_path / "good.csv", HEADER + "".join(rows)))["buyer_id"])[-2:] == ["b7", "b8"]
        rows[6] = ",p,2026-01-01\n"
        with pytest.raises(DataError, match="column buyer_id, row 7: '' is empty"):
            load(write(tmp_path / "bad.csv", HEADER + "".join(rows)))

    def test_binary_as_csv(self, tmp_path: Path) -> None:
        (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(DataError, match="not a readable CSV file"):
            load(str(tmp_path / "bad.csv"))

    def test_missing_file_and_unknown_kind(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="can't be read"):
            load(str(tmp_path / "none.csv"))
        with pytest.raises(DataError, match=r"neither \.csv nor \.parquet"):
            load("purchases.xlsx")


def interactions(n: int) -> pd.DataFrame:
    """Buyer i % 5 buys product i % 7 at second i. The rows are in another order."""
    index = np.random.default_rng(0).permutation(n)
    times = pd.to_datetime(index, unit="s", utc=True)
    return pd.DataFrame({"buyer_id": index % 5, "product_id": index % 7, "timestamp": times})


class TestSplitting:
    def test_by_time(self) -> None:
        data = split(interactions(1000))
        assert [len(data.train), len(data.validation), len(data.test)] == [800, 100, 100]
        assert (data.buyers, data.products) == (5, 7)
        # Numbered in order of first occurrence, which here is 0, 1, 2 …
        everything = np.concatenate([data.train.buyers, data.validation.buyers, data.test.buyers])
        assert np.array_equal(everything, np.arange(1000) % 5)

    def test_only_the_latest(self) -> None:
        data = split(interactions(1000), max_interactions=100)
        assert len(data.train) == 80
        assert data.test.products.tolist() == [(index - 900) % 7 for index in range(990, 1000)]

    def test_unknown_buyers_and_products_are_dropped_and_counted(self) -> None:
        frame = interactions(100)
        late = frame["timestamp"] >= pd.Timestamp(95, unit="s", tz="UTC")
        frame.loc[late, "product_id"] = 99
        data = split(frame)
        assert (len(data.test), data.test.dropped) == (5, 5)
        assert data.validation.dropped == 0

    def test_rare_products_are_left_out(self) -> None:
        frame = interactions(1000)
        frame.loc[frame["product_id"] == 3, "buyer_id"] = 0
        data = split(frame, min_buyers=2)
        assert data.products == 6
        assert data.test.dropped > 0

    def test_shares(self) -> None:
        data = split(interactions(1000), validation_share=0.05, test_share=0.25)
        assert [len(data.train), len(data.validation), len(data.test)] == [700, 50, 250]

    def test_an_exact_repetition_counts_once(self) -> None:
        frame = interactions(1000)
        later = frame.head(1).assign(timestamp=frame["timestamp"].max() + pd.Timedelta(1, unit="s"))
        data = split(pd.concat([frame, frame.head(100), later], ignore_index=True))
        assert data.repeated == 100
        assert len(data.train) + len(data.validation) + len(data.test) == 1001

    def test_identifiers_of_rows(self, tmp_path: Path) -> None:
        data = split(interactions(1000))
        assert (data.buyer_ids.tolist(), data.product_ids.tolist()) == (list(range(5)), list(range(7)))
        frame = interactions(1000)
        frame["buyer_id"] = "b" + frame["buyer_id"].astype(str)
        assert split(frame).buyer_ids.tolist() == ["b0", "b1", "b2", "b3", "b4"]
        assert split(frame).buyer_ids.dtype.kind == "U"

    @pytest.mark.parametrize(("column", "word"), [("buyer_id", "buyer"), ("product_id", "product")])
    def test_one_buyer_or_product_is_too_few(self, column: str, word: str) -> None:
        with pytest.raises(DataError, match=rf"training has one {word} only \(8\)"):
            split(interactions(100).assign(**{column: 8}))

    def test_options_set_the_split(self, tmp_path: Path) -> None:
        path = tmp_path / "good.parquet"
        interactions(1000).to_parquet(path)
        options = Options(data=str(path), max_interactions=200, min_buyers=1, validation_share=0.2, test_share=0.3)
        data = prepare(options)
        assert [len(data.train), len(data.validation), len(data.test)] == [100, 40, 60]

    def test_nothing_left(self) -> None:
        with pytest.raises(DataError, match="no interaction is left for training"):
            split(interactions(100), min_buyers=6)
