"""Writes the data of the examples: `python examples/make_data.py`. The same rows each time; all are made up."""

from __future__ import annotations

import csv
import math
import random
import tempfile
from datetime import date, timedelta
from pathlib import Path

import duckdb

HERE = Path(__file__).parent
CUSTOMERS = 1000
"""A month's rows in `churn`."""
HOUSES = 2000


def churn(month: int) -> list[dict[str, object]]:
    """Returns a month's customers: yes and no, dates, money in cents, missing values."""
    chance = random.Random(f"churn {month}")
    rows: list[dict[str, object]] = []
    for number in range(CUSTOMERS):
        since = date(2026, month, 1) - timedelta(days=chance.randint(20, 2000))
        contract = chance.choices(("monthly", "yearly", "two years"), (5, 3, 2))[0]
        calls = min(int(chance.expovariate(0.7)), 9)
        paper = chance.random() < 0.4
        fee = round(chance.uniform(9, 90), 2)
        tenure = (date(2026, month, 1) - since).days / 365
        score = -1.6 + 1.9 * (contract == "monthly") + 0.55 * calls - 0.5 * tenure + 0.012 * fee
        leaves = chance.random() < 1 / (1 + math.exp(-score))
        rows.append(
            {
                "customer": f"{month:02d}-{number:05d}",
                "since": since.isoformat(),
                "contract": contract,
                "paper_bill": "yes" if paper else "no",
                "calls_to_support": calls,
                "monthly_fee": "" if chance.random() < 0.03 else f"{fee:.2f}",
                "churned": "yes" if leaves else "no",
            }
        )
    return rows


def houses() -> list[dict[str, object]]:
    """Returns sold houses, with a price to predict."""
    chance = random.Random("houses")
    worth = {"harbour": 1.5, "centre": 1.3, "hill": 1.1, "west": 0.9, "north": 0.8}
    rows: list[dict[str, object]] = []
    for _ in range(HOUSES):
        area, built, garden = chance.uniform(35, 220), chance.randint(1900, 2025), chance.random() < 0.5
        district = chance.choice(list(worth))
        price = area * 2900 * worth[district] * (1 + (built - 1960) / 400) + 25_000 * garden
        rows.append(
            {
                "area": round(area, 1),
                "rooms": max(1, round(area / 28 + chance.gauss(0, 0.7))),
                "built": built,
                "district": district,
                "garden": "yes" if garden else "no",
                "price": round(price * math.exp(chance.gauss(0, 0.08))),
            }
        )
    return rows


def write(folder: Path) -> None:
    """Writes `churn/churn-N.csv` and `prices/houses.parquet` below a folder."""
    (folder / "churn").mkdir(exist_ok=True)
    for month in (1, 2):
        _write_csv(folder / "churn" / f"churn-{month}.csv", churn(month))
    target = str(folder / "prices" / "houses.parquet")
    (folder / "prices").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _write_csv(Path(scratch) / "houses.csv", houses())
        duckdb.read_csv(f"{scratch}/houses.csv", dtype={"garden": "VARCHAR"}).write_parquet(target)


def _write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    write(HERE)
