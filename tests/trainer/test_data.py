from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainer.data import load, split
from trainer.errors import DataError, StorageError

HEADER = "buyer_id,product_id,timestamp\n"
GOOD = "007,p1,2026-01-02T10:30:00Z\n007,p2,2026-01-01\nb,p1,2026-01-03 08:00:00+02:00\n"


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
            (HEADER + "a,p,2026-01-01\nb,p,yesterday\n", r"column timestamp, row 2: 'yesterday' is no time"),
            (HEADER + "a,p,1767349800\nb,p,2026-01-01\n", r"column timestamp, row 2: '2026-01-01' is no time"),
            (HEADER + "a,p,2026-01-01\nb,p,\nc,p,\n", r"column timestamp, row 2: '' is no time.*and 1 more rows"),
            (HEADER + "a,p,2026-01-01\n,p,2026-01-01\n", "column buyer_id, row 2: '' is empty"),
            (HEADER + "a,,2026-01-01\n", "column product_id, row 1: '' is empty"),
            (HEADER + "a,p,2026-01-01\nb,p,2026-01-01,surplus\n", "line 3"),
        ],
    )
    def test_a_malformed_file_is_told_by_column_and_row(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            load(write(tmp_path / "bad.csv", text))

    def test_malformed_parquet(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="not a readable Parquet file"):
            load(write(tmp_path / "bad.parquet", "hello"))
        path = tmp_path / "holes.parquet"
        pd.DataFrame({"buyer_id": [1, None], "product_id": [3, 4], "timestamp": [1.0, 2.0]}).to_parquet(path)
        with pytest.raises(DataError, match="column buyer_id, row 2: 'nan' is empty"):
            load(str(path))

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
    """Buyer i % 5 buys product i % 7 at second i; given in another order."""
    index = np.random.default_rng(0).permutation(n)
    times = pd.to_datetime(index, unit="s", utc=True)
    return pd.DataFrame({"buyer_id": index % 5, "product_id": index % 7, "timestamp": times})


class TestSplitting:
    def test_by_time(self) -> None:
        data = split(interactions(1000))
        assert [len(data.train), len(data.validation), len(data.test)] == [800, 100, 100]
        assert (data.buyers, data.products) == (5, 7)
        # Numbered as they first occur, which here is 0, 1, 2 …
        everything = np.concatenate([data.train.buyers, data.validation.buyers, data.test.buyers])
        assert np.array_equal(everything, np.arange(1000) % 5)

    def test_only_the_latest(self) -> None:
        data = split(interactions(1000), max_interactions=100)
        assert len(data.train) == 80
        assert data.test.products.tolist() == [(index - 900) % 7 for index in range(990, 1000)]

    def test_what_training_does_not_know_is_dropped_and_counted(self) -> None:
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

    def test_nothing_left(self) -> None:
        with pytest.raises(DataError, match="no interaction is left for training"):
            split(interactions(100), min_buyers=6)
