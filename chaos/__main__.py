"""The command line of ``make chaos``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from chaos.plan import FULL, SHORT
from chaos.report import PAGE, ROOT, line, publish
from chaos.stage import DATABASES
from chaos.storm import Outcome, play

PATIENCE = 300.0
"""Seconds after the last fault."""
EXAMPLES = """examples:
  python -m chaos                                  five seeds on each database: an hour and a half
  python -m chaos --seeds 1 --database sqlite      one storm
  python -m chaos --first 7 --seeds 1              the storm with seed 7, again
  python -m chaos --short                          short storms: a minute each; the page of the docs is not written"""


def main() -> int:
    """Play the storms; returns 1 if any of them ended with a problem."""
    args = _parser().parse_args()
    scale = SHORT if args.short else FULL
    if args.runs:
        scale = replace(scale, runs=args.runs)
    outcomes: list[Outcome] = []
    for database in args.database:
        for seed in range(args.first, args.first + args.seeds):
            outcomes.append(play(seed, scale, database, patience=PATIENCE))
            print(line(outcomes[-1]), flush=True)
            print("\n".join(f"  ! {problem}" for problem in outcomes[-1].verdict.problems), flush=True)
    if not args.short:
        publish(outcomes)
        print(f"written to {PAGE.relative_to(ROOT)}", file=sys.stderr)
    return int(any(outcome.verdict.problems for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m chaos",
        description="Break every part at random while runs end, and see whether each run becomes warm unaided.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=5, help="storms on each database (default: 5)")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first seed (default: 1)")
    parser.add_argument("--runs", type=int, help=f"runs of a storm (default: {FULL.runs})")
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES, help="default: both")
    parser.add_argument(
        "--short", action="store_true", help=f"{SHORT.runs} runs, stops of at most {SHORT.longest:.0f} s"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
