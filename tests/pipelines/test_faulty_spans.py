"""`mainspring run` on a span with each kind of fault: refused in one line that says what is wrong, and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from .conftest import Mainspring, summary_of

PIPELINE = "tests.pipelines.faulty_spans:data_gate"
MASKED_CRC_OF_2_TO_62 = bytes.fromhex("7f85f000")
"""As TFRecord has it: the length's checksum is right, so that the length is believed."""
ROWS = """SELECT i, 'c' || i % 7 AS carrier, (i * 37) % 1000 AS distance, DATE '2020-01-01' + (i % 30)::INT AS day,
    (hash(i) % 3 = 0)::INT AS late FROM range(2000) t(i)"""


def write(path: Path, rows: str = ROWS) -> Path:
    duckdb.execute(f"COPY ({rows}) TO '{path}'")
    return path


def replaced(column: str) -> Callable[[Path], None]:
    return lambda folder: write(folder / "span-1.parquet", f"SELECT * REPLACE ({column}) FROM ({ROWS})") and None


def added(column: str) -> Callable[[Path], None]:
    return lambda folder: write(folder / "span-1.parquet", f"SELECT *, {column} FROM ({ROWS})") and None


def plain(folder: Path) -> None:
    write(folder / "span-1.parquet")


def truncated(folder: Path) -> None:
    path = write(folder / "span-1.parquet")
    path.write_bytes(path.read_bytes()[:-100])


def latin(folder: Path) -> None:
    (folder / "span-1.csv").write_bytes("carrier,late\nZürich,1\n".encode("latin-1") * 50)


def words_among_numbers(folder: Path) -> None:
    lines = [f"{index},{index % 2}" for index in range(250_000)]
    (folder / "span-1.csv").write_text("distance,late\n" + "\n".join([*lines, "far,1"]) + "\n")


def mixed_types(folder: Path) -> None:
    write(folder / "span-1-a.parquet")
    write(folder / "span-1-b.parquet", f"SELECT * REPLACE (distance::VARCHAR || ' mi' AS distance) FROM ({ROWS})")


def truncated_gzip(folder: Path) -> None:
    path = write(folder / "span-1.csv.gz")
    path.write_bytes(path.read_bytes()[:-9])


def twice_named(folder: Path) -> None:
    (folder / "span-1.csv").write_text("late,distance,late\n" + "1,500,0\n" * 200)


def endless_record(folder: Path) -> None:
    length = (2**62).to_bytes(8, "little")
    (folder / "span-1.tfrecord").write_bytes(length + MASKED_CRC_OF_2_TO_62 + b"abc")


def one_row(folder: Path) -> None:
    write(folder / "span-1.parquet", f"FROM ({ROWS}) LIMIT 1")


FAULTS = {
    "truncated": (truncated, [], "span-1.parquet: cannot be read"),
    "truncated gzip": (truncated_gzip, [], "is truncated or no gzip file"),
    "wrong encoding": (latin, [], "span-1.csv: line 2, column carrier is not in UTF-8"),
    "a number turns to words": (words_among_numbers, ['types={"distance": "integer"}'], "far"),
    "mixed types": (mixed_types, ['types={"distance": "integer"}'], "column distance"),
    "two columns of one name": (twice_named, [], "has both a column late and a column late"),
    "a record that claims to be endless": (endless_record, [], "record 1 is truncated or corrupt"),
    "infinity": (added("'inf'::DOUBLE AS ratio"), [], "column ratio holds infinity in span"),
    "nested": (added("[1, 2] AS many"), [], "column many is"),
    "wrong SQL": (plain, ["query=SELECT nothing FROM source"], "query: on span"),
    "SQL that writes": (plain, ["query=COPY source TO 'elsewhere.csv'"], "query: must be one SELECT"),
    "SQL that reads elsewhere": (plain, ["query=SELECT * FROM read_csv('/etc/passwd')"], "query: on span"),
    "SQL that fetches an extension": (plain, ["query=FROM sqlite_scan('a', 'b')"], "is not in the catalog"),
    "SQL that keeps nothing": (plain, ["query=FROM source WHERE i < 0"], "has no rows that the query keeps"),
    "one row": (one_row, [], "at least 100 are needed"),
    "a column without values": (replaced("NULL::INT AS distance"), [], "distance: missing in all rows of train"),
    "a constant label": (replaced("1 AS late"), [], "late: the same value (1) in every row"),
    "rows without a label": (replaced("if(i % 10 = 0, NULL, late) AS late"), [], "late: missing in"),
    "a giveaway": (added("late * 3 + 1 AS fine"), [], "fine: gives the label away"),
    "a key in train and eval": (plain, ['key=["carrier"]'], "carrier: 7 keys in train and in eval"),
    "old data": (plain, ["timestamp=day", "max_age_days=7"], "day: the newest row of"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_span_with_a_fault_is_refused_in_one_line(
    mainspring: Mainspring, root: Path, tmp_path: Path, fault: str
) -> None:
    spoil, parameters, words = FAULTS[fault]
    spoil(tmp_path)
    done = mainspring(
        *("run", PIPELINE, "--root", root, "--summary", tmp_path / "summary.json"),
        *("-p", f"source={tmp_path}/span-{{SPAN}}*"),
        *(part for parameter in parameters for part in ("-p", parameter)),
        cwd=Path(__file__).parents[2],
    )
    summary = summary_of(tmp_path / "summary.json")
    assert done.returncode == 1
    assert words in summary["error"]
    assert "\n" not in summary["error"]
    assert "Traceback" not in done.stdout + done.stderr
    assert not (Path(__file__).parents[2] / "elsewhere.csv").exists()


def test_the_same_span_without_a_fault_is_not_refused(mainspring: Mainspring, root: Path, tmp_path: Path) -> None:
    plain(tmp_path)
    source = f"source={tmp_path}/span-{{SPAN}}*"
    done = mainspring("run", PIPELINE, "--root", root, "-p", source, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
