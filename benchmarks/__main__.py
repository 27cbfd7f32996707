"""``make bench``: all benchmarks, one after the other."""

from __future__ import annotations

import argparse

from benchmarks import (
    backfill,
    entries,
    pipeline,
    queued,
    restore,
    rolling,
    runs_list,
    scale,
    slow,
    training,
    warming,
    web,
)
from benchmarks.pages import measure as pages
from benchmarks.report import publish

BENCHMARKS = {
    "backfill": backfill.measure,
    "entries": entries.measure,
    "pages": pages.measure,
    "pipeline": pipeline.measure,
    "queued": queued.measure,
    "restore": restore.measure,
    "rolling": rolling.measure,
    "runs": runs_list.measure,
    "scale": scale.measure,
    "slow": slow.measure,
    "trainer": training.measure,
    "warming": warming.measure,
    "web": web.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Measure side by side, print tables, write benchmarks/results/NAME.json.",
        epilog="example:\n  python -m benchmarks pipeline",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS), help=f"of: {', '.join(BENCHMARKS)} (all)")
    names = parser.parse_args().names
    if unknown := set(names) - BENCHMARKS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there is: {', '.join(BENCHMARKS)}")
    for name in names:
        publish(name, BENCHMARKS[name]())


if __name__ == "__main__":
    main()
