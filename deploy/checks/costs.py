"""``python -m deploy.checks.costs``: what a month on Google Cloud consists of, in the units that are paid for.

Hours and sizes are those of the Terraform files, bytes a run those that our benchmarks measured. Prices are not here:
with ``--prices FILE`` (see deploy/gcp/prices.json) the amounts are multiplied and added up.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.checks.plan import plan
from deploy.checks.reference import Sizes, sizes
from deploy.checks.terraform import FOLDER

HOURS = 730
"""Of a month."""
STORE_KB, MLFLOW_KB = 4.7, 52
"""What an epoch of a run with 134 metrics takes in either database on PostgreSQL, indexes included: see
docs/reference/benchmarks.md, "From a backup to warm".
"""
MESSAGES = 2
"""Of a run: started and completed. While it runs, one more in two seconds at most."""
SMALLEST_DISK = 10
"""GB. What the databases take beside runs is less."""
PRICES = Path(__file__).resolve().parents[1] / "gcp" / "prices.json"
HEAD = """# Google Cloud: what a month consists of

Printed by `python -m deploy.checks.costs`. No price is here: they differ by region, and change. Write today's into a
copy of `deploy/gcp/prices.json`, in your currency and for the unit of its row, and have the months computed:

```sh
python -m deploy.checks.costs --prices my-prices.json
```

`--runs`, `--epochs` and `--months` ask for other amounts, of all three sizes alike."""
FORMULAS = f"""
- Hours: {HOURS} in a month, times the processors, GiB or nodes of the [sizes](google-cloud.md#how-much-runs). Instances
  are paid for as long as they run, so requests cost nothing beside.
- Disk: zones, times runs a month, months and epochs, times {STORE_KB:g} kB in the store and {MLFLOW_KB:g} kB in the
  database of MLflow; {SMALLEST_DISK} GB at least. [Measured](benchmarks.md#from-a-backup-to-warm) with 1,000 runs of
  134 metrics and 100 epochs on PostgreSQL. Values were random, the worst case for compression.
- Messages: {MESSAGES} of a run, at 1 kB at least each, published once and received once. While it runs, one more in two
  seconds at most.

Not in it, because it is yours: models and files in the bucket, trainings (their hours by the price of the machine),
logs, backups beyond the first copy, traffic out of the region, support, tax.
"""


@dataclass(frozen=True)
class Load:
    """Runs a month, epochs of each, and for how many months they are kept."""

    runs: int
    epochs: int
    months: int


@dataclass(frozen=True)
class Month:
    """One size of deployment under a load."""

    name: str
    sizes: Sizes
    load: Load

    def amounts(self) -> dict[str, float]:
        """By the names of deploy/gcp/prices.json."""
        size, load = self.sizes, self.load
        epochs = load.runs * load.months * load.epochs
        data = max(SMALLEST_DISK, epochs * (STORE_KB + MLFLOW_KB) / 1e6)
        valkey = {f"valkey_{size.valkey_type.lower()}_node_hours": HOURS * size.valkey_nodes}
        return {
            "cloud_run_processor_hours": HOURS * size.processors,
            "cloud_run_gib_hours": HOURS * size.memory,
            "cloud_sql_processor_hours": HOURS * size.database_zones * size.database_processors,
            "cloud_sql_gib_hours": HOURS * size.database_zones * size.database_memory,
            "cloud_sql_disk_gb": size.database_zones * data,
            "cloud_sql_backup_gb": data,
            **valkey,
            "pubsub_gb": 2 * MESSAGES * load.runs / 1e6,
        }


def months(load: Load | None = None) -> list[Month]:
    """The three sizes, each with its usual load or all with one."""
    dev, prod = (plan(FOLDER / "envs" / name) for name in ("dev", "prod"))
    return [
        Month("small: dev", sizes(dev, most=False), load or Load(100, 100, 12)),
        Month("medium: prod at rest", sizes(prod, most=False), load or Load(1_000, 100, 12)),
        Month("large: prod at most", sizes(prod, most=True), load or Load(10_000, 100, 12)),
    ]


def table(found: list[Month]) -> list[str]:
    """The amounts, in Markdown."""
    names = list(dict.fromkeys(name for month in found for name in month.amounts()))
    loads = [f"{month.load.runs:,} of {month.load.epochs} epochs, {month.load.months} months" for month in found]
    lines = [f"| | {' | '.join(month.name for month in found)} |", "|---" * (len(found) + 1) + "|"]
    lines.append(f"| runs a month, and how long they are kept | {' | '.join(loads)} |")
    for name in names:
        cells = [month.amounts().get(name, 0) for month in found]
        lines.append(f"| `{name}` | {' | '.join(f'{cell:,.6g}' for cell in cells)} |")
    return lines


def totals(found: list[Month], prices: Mapping[str, float | None]) -> list[str]:
    """What each month costs. Raises ValueError if a price is missing."""
    lines = []
    for month in found:
        amounts = month.amounts()
        if missing := [name for name in amounts if prices.get(name) is None]:
            raise ValueError(f"no price of {', '.join(missing)}")
        total = sum(amount * float(prices[name] or 0) for name, amount in amounts.items())
        lines.append(f"{month.name}: {total:,.2f} a month")
    return lines


def page() -> str:
    """The reference page."""
    return "\n".join([HEAD, "", *table(months()), FORMULAS])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m deploy.checks.costs", description=__doc__)
    parser.add_argument("--prices", type=Path, help="a file with a price for each row, as deploy/gcp/prices.json")
    for name, what in (("runs", "runs a month"), ("epochs", "epochs of a run"), ("months", "how long runs are kept")):
        parser.add_argument(f"--{name}", type=int, help=what)
    given = parser.parse_args(arguments)
    if not any(vars(given).values()):
        print(page(), end="")
        return 0
    asked = given.runs or given.epochs or given.months
    found = months(Load(given.runs or 1_000, given.epochs or 100, given.months or 12) if asked else None)
    print("\n".join(table(found)))
    if not given.prices:
        return 0
    try:
        print("\n".join(["", *totals(found, json.loads(given.prices.read_text()))]))
    except (OSError, ValueError) as error:
        print(f"{given.prices}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
