"""The tables of docs/ingestion.md, row by row."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from tables import read_split, types_of

from mainspring.components.ingestion.columns import text_values
from mainspring.components.ingestion.ingest_examples import ingest_examples

PAGE = (Path(__file__).parents[4] / "docs" / "ingestion.md").read_text(encoding="utf-8")
TYPES = {"int64": "BIGINT", "double": "DOUBLE", "string": "VARCHAR"}


def words(cell: str) -> list[str | None]:
    return [word or None for word in re.findall(r"`([^`]+)`|–", cell)]


def rules() -> list[tuple[str, list[str | None], str, list[str | None]]]:
    """Returns, by row of the tables: what `types` says, the values, the column's type, what becomes of the values."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
    found = []
    for cells in rows:
        if "`" in cells[0]:
            said, values, kind, becomes = ["", *cells] if len(cells) == 3 else cells
            found.append((said.strip("`"), words(values), kind.strip("`"), words(becomes)))
    return found


def test_the_page_has_its_tables() -> None:
    assert len(rules()) > 25


@pytest.mark.parametrize(("said", "values", "kind", "becomes"), rules())
def test_a_rule_of_the_page(
    said: str, values: list[str | None], kind: str, becomes: list[str | None], tmp_path: Path
) -> None:
    repeated = values * (2 + 8 // len(values))  # So that both sides have rows.
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("k", "v"), *enumerate(repeated)])
    ingest_examples(str(tmp_path / "rows.csv"), str(tmp_path / "examples"), types={"v": said} if said else "")
    rows = read_split(tmp_path / "examples", "train", "k, v") + read_split(tmp_path / "examples", "eval", "k, v")
    assert types_of(tmp_path / "examples")["v"] == TYPES[kind]
    found = [value for _, value in sorted(rows, key=lambda row: row[0])][: len(values)]
    assert [None if value is None else str(value) for value in found] == becomes


def test_the_words_for_missing_are_those_of_the_page() -> None:
    [listed] = re.findall(r"Words for missing count in columns that are no text: (.*?)\. `missing_words`", PAGE, re.S)
    assert tuple(re.findall(r"`([^`]+)`", listed)) == text_values.MISSING_WORDS
