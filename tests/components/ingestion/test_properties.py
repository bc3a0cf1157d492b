from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import read_split, write_values

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples

NAMES = ("n", "x", "s")
TYPES = ("BIGINT", "DOUBLE", "VARCHAR")
Row = tuple[Any, ...]

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
rows = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | texts,
)
tables = st.lists(rows, min_size=1, max_size=25)


def sides(folder: Path, name: str, files: list[list[Row]]) -> tuple[str, list[Row], list[Row]]:
    for number, content in enumerate(files):
        write_values(folder / name / f"{number}.parquet", NAMES, content, TYPES)
    done = ingest_examples(str(folder / name), str(folder / f"{name}-examples"), eval_fraction=0.4)
    splits = [sorted(read_split(folder / f"{name}-examples", split), key=repr) for split in ("train", "eval")]
    return done.fingerprint, splits[0], splits[1]


@given(tables, st.randoms(use_true_random=False), st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=15)
def test_order_and_layout_change_neither_the_split_nor_the_fingerprint(
    table: list[Row], shuffle: Any, parts: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shuffled = shuffle.sample(table, len(table))
        files = [part for part in (shuffled[start::parts] for start in range(parts)) if part]
        first = sides(folder, "one", [table])
        assert sides(folder, "many", files) == first
        assert sorted(first[1] + first[2], key=repr) == sorted(table, key=repr)


@given(tables, tables)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=15)
def test_equal_fingerprints_mean_equal_rows(left: list[Row], right: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name:
        one, two = sides(Path(name), "one", [left]), sides(Path(name), "two", [right])
        same = sorted(map(repr, left)) == sorted(map(repr, right))
        assert (one[0] == two[0]) == same


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.tsv", "a.csv.gz", "a.parquet"]))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
def test_any_bytes_give_examples_or_one_line(content: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / ending).write_bytes(content)
        try:
            done = ingest_examples(str(Path(name) / ending), str(Path(name) / "examples"))
            said = ""
            assert done.train_rows + done.eval_rows > 0
        except UserError as error:
            said = str(error)
        assert "\n" not in said
        assert (Path(name) / "examples").exists() == (not said)
