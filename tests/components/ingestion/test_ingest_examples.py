from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tables import left_over, read_split, types_of, write_file, write_values

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import Ingested, ingest_examples
from mainspring.components.ingestion.resolve_spans import resolve_spans

NUMBERS = "SELECT i, i * 0.5 AS half, 'n' || i AS name FROM range({rows}) t(i)"


@pytest.fixture
def source(tmp_path: Path) -> str:
    for span in (1, 2, 3):
        write_file(
            tmp_path / "in" / f"s-{span}.parquet",
            f"SELECT i + {span} * 1000 AS i, i * 0.5 AS half, 'n' || i AS name FROM range(200) t(i)",
        )
    return str(tmp_path / "in" / "s-{SPAN}.parquet")


def ingest(source: str, to: Path, **options: object) -> Ingested:
    return ingest_examples(source, str(to), **options)  # type: ignore[arg-type]


def refusal(source: str, to: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        ingest(source, to, **options)
    assert "\n" not in str(caught.value)
    assert left_over(to.parent) in ([], ["in"])
    return str(caught.value)


def test_a_file_per_span_and_split_and_a_manifest_that_agrees(source: str, tmp_path: Path) -> None:
    done = ingest(source, tmp_path / "ex", spans="2-3")
    assert left_over(tmp_path / "ex") == ["eval", "manifest.json", "train"]
    assert left_over(tmp_path / "ex" / "train") == left_over(tmp_path / "ex" / "eval") == ["2.parquet", "3.parquet"]
    manifest = json.loads((tmp_path / "ex" / "manifest.json").read_text())
    assert manifest["rows"] == {"train": done.train_rows, "eval": done.eval_rows}
    assert done.train_rows == len(read_split(tmp_path / "ex", "train"))
    assert done.eval_rows == len(read_split(tmp_path / "ex", "eval"))
    assert manifest["columns"] == {"i": "int64", "half": "double", "name": "string"}
    assert manifest["spans"] == ["2", "3"]
    assert manifest["fingerprint"] == done.fingerprint
    assert [Path(file["uri"]).name for file in manifest["source"]["files"]] == ["s-2.parquet", "s-3.parquet"]
    assert all(file["bytes"] > 0 for file in manifest["source"]["files"])
    assert set(manifest["versions"]) >= {"python", "mainspring", "duckdb"}


def test_every_row_is_on_one_side_and_keeps_its_values(source: str, tmp_path: Path) -> None:
    ingest(source, tmp_path / "ex", spans="all")
    rows = read_split(tmp_path / "ex", "train") + read_split(tmp_path / "ex", "eval")
    assert sorted(rows) == sorted((i + span * 1000, i * 0.5, f"n{i}") for span in (1, 2, 3) for i in range(200))


def test_rows_keep_the_order_of_the_source(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.parquet", "SELECT i FROM range(300000) t(i)")
    ingest(str(tmp_path / "in" / "a.parquet"), tmp_path / "ex")
    for split in ("train", "eval"):
        values = [value for (value,) in read_split(tmp_path / "ex", split)]
        assert values == sorted(values)


def test_the_same_input_gives_the_same_files_to_the_byte(source: str, tmp_path: Path) -> None:
    first, second = ingest(source, tmp_path / "a"), ingest(source, tmp_path / "b")
    assert first == second
    for split in ("train", "eval"):
        assert (tmp_path / "a" / split / "3.parquet").read_bytes() == (
            tmp_path / "b" / split / "3.parquet"
        ).read_bytes()


def test_a_row_is_on_the_same_side_whatever_file_it_came_in(tmp_path: Path) -> None:
    rows = [(i, random.Random(i).random(), f"n{i % 17}" if i % 5 else None) for i in range(400)]
    types = ("BIGINT", "DOUBLE", "VARCHAR")
    write_values(tmp_path / "in" / "one" / "a.parquet", ("i", "x", "s"), rows, types)
    shuffled = random.Random(1).sample(rows, len(rows))
    for part in range(4):
        write_values(tmp_path / "in" / "many" / f"p{part}.parquet", ("i", "x", "s"), shuffled[part::4], types)
    swapped = [(s, i, x) for i, x, s in reversed(rows)]
    swapped_file = tmp_path / "in" / "csv" / "swapped.parquet"
    write_values(swapped_file, ("s", "i", "x"), swapped, ("VARCHAR", "BIGINT", "DOUBLE"))
    write_file(tmp_path / "in" / "csv" / "a.csv", f"FROM '{swapped_file}'")
    swapped_file.unlink()

    done = {name: ingest(str(tmp_path / "in" / name), tmp_path / "ex" / name) for name in ("one", "many", "csv")}
    assert done["one"] == done["many"] == done["csv"]
    sides = {name: sorted(read_split(tmp_path / "ex" / name, "eval", "i")) for name in done}
    assert sides["one"] == sides["many"] == sides["csv"]


def test_a_row_keeps_its_side_when_a_later_span_widens_its_columns(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "s-1.parquet", "SELECT i, i AS n FROM range(300) t(i)")
    write_file(tmp_path / "in" / "s-2.parquet", "SELECT i, i + 0.5 AS n, 'new' AS added FROM range(300, 400) t(i)")
    pattern = str(tmp_path / "in" / "s-{SPAN}.parquet")
    ingest(pattern, tmp_path / "alone", spans="1")
    ingest(pattern, tmp_path / "both", spans="1-2")
    alone = sorted(read_split(tmp_path / "alone", "eval", "i"))
    assert alone == sorted(row for row in read_split(tmp_path / "both", "eval", "i") if row[0] < 300)


def test_split_columns_keep_rows_with_the_same_key_together(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.parquet", "SELECT i % 50 AS customer, i AS visit FROM range(2000) t(i)")
    ingest(str(tmp_path / "in"), tmp_path / "ex", split_columns=["customer"])
    train, evaluate = (set(read_split(tmp_path / "ex", split, "customer")) for split in ("train", "eval"))
    assert train
    assert evaluate
    assert not train & evaluate


def test_unknown_split_columns_are_refused_by_name(source: str, tmp_path: Path) -> None:
    assert "split_columns: nope is no column; there are i, half, name" in refusal(
        source, tmp_path / "ex", split_columns=["i", "nope"]
    )


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.9])
def test_the_eval_fraction_is_kept_closely(tmp_path: Path, fraction: float) -> None:
    write_file(tmp_path / "in" / "a.parquet", NUMBERS.format(rows=20_000))
    done = ingest(str(tmp_path / "in"), tmp_path / "ex", eval_fraction=fraction)
    deviations = 4 * (fraction * (1 - fraction) / 20_000) ** 0.5
    assert abs(done.eval_rows / 20_000 - fraction) < deviations


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_an_eval_fraction_outside_zero_and_one_is_refused(source: str, tmp_path: Path, fraction: float) -> None:
    assert "eval_fraction" in refusal(source, tmp_path / "ex", eval_fraction=fraction)


def test_a_larger_fraction_only_adds_rows_to_eval(source: str, tmp_path: Path) -> None:
    ingest(source, tmp_path / "a", eval_fraction=0.1)
    ingest(source, tmp_path / "b", eval_fraction=0.3)
    assert set(read_split(tmp_path / "a", "eval")) < set(read_split(tmp_path / "b", "eval"))


@pytest.mark.parametrize(
    "change",
    [
        "i + (i = 7)::INT AS i, half, name",
        "i, half + (i = 7)::INT * 1e-9 AS half, name",
        "i, half, name || CASE WHEN i = 7 THEN ' ' ELSE '' END AS name",
        "i, half, CASE WHEN i = 7 THEN NULL ELSE name END AS name",
        "i, half, name AS label",
        "i, half",
        "name AS half, half AS name, i",
    ],
)
def test_the_fingerprint_sees_a_change_of_one_value_or_column(tmp_path: Path, change: str) -> None:
    write_file(tmp_path / "in" / "a.parquet", NUMBERS.format(rows=300))
    before = ingest(str(tmp_path / "in"), tmp_path / "a")
    after = ingest(str(tmp_path / "in"), tmp_path / "b", query=f"SELECT {change} FROM source")
    assert before.fingerprint != after.fingerprint


def test_the_fingerprint_sees_rows_twice_dropped_or_swapped_between_columns(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.parquet", "SELECT i AS a, 999 - i AS b FROM range(300) t(i)")
    queries = [
        "FROM source",
        "FROM source UNION ALL FROM source",
        "FROM source UNION ALL FROM source UNION ALL FROM source",
        "FROM source WHERE a <> 7",
        "SELECT CASE WHEN a = 7 THEN b ELSE a END AS a, CASE WHEN a = 7 THEN a ELSE b END AS b FROM source",
    ]
    found = [ingest(str(tmp_path / "in"), tmp_path / f"ex{n}", query=query) for n, query in enumerate(queries)]
    assert len({done.fingerprint for done in found}) == len(queries)


def test_a_column_that_a_span_lacks_is_null_there(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "s-1.parquet", "SELECT 1 AS a FROM range(50)")
    write_file(tmp_path / "in" / "s-2.parquet", "SELECT 2 AS a, 'x' AS b FROM range(50)")
    ingest(str(tmp_path / "in" / "s-{SPAN}.parquet"), tmp_path / "ex", spans="all", eval_fraction=0.5)
    rows = set(read_split(tmp_path / "ex", "train") + read_split(tmp_path / "ex", "eval"))
    assert rows == {(1, None), (2, "x")}


@pytest.mark.parametrize("other", ["s-1b.parquet", "s-2.parquet"])
@pytest.mark.parametrize("number", ["1", "1.5::DOUBLE", "true", "1.50::DECIMAL(5, 2)"])
def test_a_column_that_is_text_in_one_file_and_a_number_in_another_is_text(
    tmp_path: Path, other: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file(tmp_path / "in" / "s-1a.parquet", f"SELECT {number} AS a FROM range(30)")
    write_file(tmp_path / "in" / other, "SELECT 'x' AS a FROM range(30)")
    ingest(str(tmp_path / "in" / "s-{SPAN}*.parquet"), tmp_path / "ex", spans="all", eval_fraction=0.5)
    found = set(read_split(tmp_path / "ex", "train") + read_split(tmp_path / "ex", "eval"))
    assert found == {("x",), (number.split("::")[0],)}
    assert "column a is" in capsys.readouterr().out


def test_a_column_that_a_query_makes_text_in_one_span_only_is_text(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "s-1.parquet", "SELECT 1 AS a")
    write_file(tmp_path / "in" / "s-2.parquet", "SELECT 'x' AS a, 2 AS only_here")
    query = "SELECT a FROM source"
    ingest(str(tmp_path / "in" / "s-{SPAN}.parquet"), tmp_path / "ex", spans="all", query=query)
    assert types_of(tmp_path / "ex")["a"] == "VARCHAR"


def test_a_column_null_in_one_span_takes_the_type_it_has_in_another(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "s-1.parquet", "SELECT i FROM range(50) t(i)")
    pattern = str(tmp_path / "in" / "s-{SPAN}.parquet")
    write_file(tmp_path / "in" / "s-2.parquet", "SELECT i, 'x' AS b FROM range(50) t(i)")
    query = "SELECT i, CASE WHEN i >= 0 THEN NULL END AS b FROM source"
    ingest(pattern, tmp_path / "ex", spans="1", query=query)
    assert types_of(tmp_path / "ex")["b"] in ("BIGINT", "VARCHAR")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("true", 1),
        ("DATE '1970-01-03'", 172_800),
        ("TIMESTAMP '1970-01-01 00:00:05'", 5),
        ("TIMESTAMPTZ '1970-01-01 01:00:00+01'", 0),
        ("1.25::DECIMAL(9, 2)", 1.25),
        ("18446744073709551615::UBIGINT", "18446744073709551615"),
        ("9223372036854775807::UBIGINT", 9223372036854775807),
        ("9007199254740993::DECIMAL(38, 0)", 9007199254740993),
        ("'é'", "é"),
        ("'a'::ENUM('a', 'b')", "a"),
    ],
)
def test_types_become_int64_double_or_string(tmp_path: Path, value: str, expected: object) -> None:
    write_file(tmp_path / "in" / "a.parquet", f"SELECT {value} AS v, i FROM range(40) t(i)")
    ingest(str(tmp_path / "in"), tmp_path / "ex", eval_fraction=0.5)
    assert {row[0] for row in read_split(tmp_path / "ex", "train")} == {expected}
    moments = json.loads((tmp_path / "ex" / "manifest.json").read_text())["moments"]
    assert moments == (["v"] if "1970" in value else [])


@pytest.mark.parametrize("value", ["[1, 2]", "{'a': 1}", "'x'::BLOB", "MAP {'a': 1}"])
def test_a_value_that_no_model_takes_is_refused_by_its_column(tmp_path: Path, value: str) -> None:
    write_file(tmp_path / "in" / "a.parquet", f"SELECT {value} AS odd, 1 AS i")
    assert "column odd is" in refusal(str(tmp_path / "in"), tmp_path / "ex")


QUERIES_REFUSED = [
    "SELEC 1",
    "SELECT nothing_there FROM source",
    "FROM elsewhere",
    "SELECT 1; SELECT 2",
    "SELECT * FROM source; DROP TABLE source",
    "DROP VIEW source",
    "DELETE FROM source",
    "CREATE TABLE t AS FROM source",
    "INSERT INTO source VALUES (1)",
    "COPY source TO '{folder}/stolen.csv'",
    "COPY source TO 'stolen.csv'",
    "EXPORT DATABASE '{folder}/stolen'",
    "ATTACH '{folder}/other.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_text('{folder}/secret.csv')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT content FROM read_blob('/etc/passwd')",
    "SELECT *, (SELECT content FROM read_text('/etc/hostname')) AS h FROM source",
    "FROM sniff_csv('{folder}/secret.csv')",
    "SELECT * FROM read_parquet('https://127.0.0.1:9/x.parquet')",
    "SELECT i, i FROM source",
    "SELECT error('boom') FROM source",
    "SELECT 'x'::INT AS i FROM source",
    "SELECT ? FROM source",
    "SELECT $1 AS i FROM source",
    "EXPLAIN FROM source",
    "-- only a comment",
    ";",
    "SELECT getenv('HOME') AS home FROM source",
    "FROM read_text(current_setting('allowed_directories')[1] || '/../../in/secret.csv')",
]


@pytest.mark.parametrize("query", QUERIES_REFUSED)
def test_sql_that_is_wrong_or_reaches_elsewhere_is_refused_in_one_line(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    secret = tmp_path / "in" / "secret.csv"
    secret.write_text("password\nhunter2\n")
    monkeypatch.chdir(tmp_path / "in")
    before = left_over(tmp_path / "in")
    said = refusal(source, tmp_path / "ex", query=query.format(folder=tmp_path / "in"))
    assert "query" in said
    assert left_over(tmp_path / "in") == before


def test_sql_that_names_an_extension_has_it_neither_fetched_nor_loaded(source: str, tmp_path: Path) -> None:
    said = refusal(source, tmp_path / "ex", query=f"FROM sqlite_scan('{tmp_path}/in/other.db', 'table')")
    assert "is not in the catalog" in said
    assert "install" not in said


@pytest.mark.parametrize(
    "query",
    [
        "FROM source",
        "FROM source;",
        "  SELECT i FROM source ;  ",
        "SELECT i FROM source -- that is all",
        "SELECT i FROM source; -- that is all",
        "/* which */ SELECT i FROM source",
        "WITH a AS (FROM source) SELECT i, 'semi;colon' AS s FROM a",
        "SELECT i, row_number() OVER (ORDER BY i) AS n FROM source QUALIFY n > 3",
        "SELECT name, count(*) AS n FROM source GROUP BY ALL",
        "SELECT i FROM source ORDER BY i DESC LIMIT 100",
        "(SELECT i FROM source)",
        "FROM source UNION ALL FROM source",
    ],
)
def test_one_select_of_any_shape_is_taken(source: str, tmp_path: Path, query: str) -> None:
    done = ingest(source, tmp_path / "ex", query=query)
    assert done.train_rows > 0


def test_a_query_sees_one_span_at_a_time(source: str, tmp_path: Path) -> None:
    query = "SELECT *, count(*) OVER () AS seen FROM source"
    ingest(source, tmp_path / "ex", spans="all", query=query)
    assert set(read_split(tmp_path / "ex", "train", "seen")) == {(200,)}


def test_a_query_that_keeps_nothing_of_a_span_is_refused(source: str, tmp_path: Path) -> None:
    assert "span 1 has no rows that the query keeps" in refusal(
        source, tmp_path / "ex", spans="all", query="FROM source WHERE i > 2000"
    )


def test_an_empty_file_of_rows_is_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.parquet", "SELECT 1 AS i WHERE false")
    assert "has no rows" in refusal(str(tmp_path / "in"), tmp_path / "ex")


@pytest.mark.parametrize("cut", [0, 3, 4, 100, -1, -8, -100])
def test_a_truncated_parquet_file_is_refused_by_name(source: str, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "in" / "s-3.parquet"
    path.write_bytes(path.read_bytes()[:cut])
    assert "s-3.parquet" in refusal(source, tmp_path / "ex")


def test_a_parquet_file_with_flipped_bytes_gives_its_rows_or_is_refused(source: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / "s-3.parquet"
    whole = path.read_bytes()
    for position in range(4, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            ingest(source, tmp_path / "ex")
            shutil.rmtree(tmp_path / "ex")
            said = ""
        except UserError as error:
            said = str(error)
        assert "\n" not in said
        assert left_over(tmp_path) == ["in"]


def test_a_file_that_is_no_parquet_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.parquet").write_text("<html>Not found</html>")
    assert "a.parquet" in refusal(str(tmp_path / "in"), tmp_path / "ex")


def test_a_file_that_may_not_be_read_or_is_gone_is_refused_by_name(source: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "s-3.parquet").unlink()
    (tmp_path / "in" / "s-3.parquet").symlink_to(tmp_path / "nowhere.parquet")
    assert "3" in refusal(source, tmp_path / "ex", spans="3")


def test_a_file_of_unknown_kind_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "s1.xlsx").touch()
    assert "s1.xlsx: cannot be read by its ending" in refusal(str(tmp_path / "in" / "s{SPAN}.*"), tmp_path / "ex")


def test_odd_names_of_folders_files_and_columns_are_taken(tmp_path: Path) -> None:
    columns = ("a b", 'quo"ted', "ünïcode", "select", "semi;colon", "per'cent%", "source", "_", "1st", "new\nline", "i")
    folder = tmp_path / "in" / "it's a “folder” (1) é %s"
    rows = [(*range(10), i) for i in range(60)]
    write_values(folder / "it's.parquet", columns, rows, ["BIGINT"] * len(columns))
    ingest(str(folder / "it's.parquet"), tmp_path / "it's" / "ex", split_columns=['quo"ted', "i"])
    assert set(read_split(tmp_path / "it's" / "ex", "train")[0][:10]) == set(range(10))
    assert list(types_of(tmp_path / "it's" / "ex")) == list(columns)


def test_a_file_whose_name_holds_wildcard_characters_is_read_by_its_own_name(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "year [2013]*.parquet", "SELECT i, 'right' AS which FROM range(60) t(i)")
    write_file(tmp_path / "in" / "year 2 extra.parquet", "SELECT i, 'wrong' AS which FROM range(60) t(i)")
    ingest(str(tmp_path / "in" / "year [2013]*.parquet"), tmp_path / "ex")
    assert set(read_split(tmp_path / "ex", "train", "which")) == {("right",)}


@pytest.mark.parametrize("name", ["__bucket", "__row_hash", "__side", "__hash"])
def test_no_column_name_is_taken_by_us(tmp_path: Path, name: str) -> None:
    write_file(tmp_path / "in" / "a.parquet", f"SELECT i, 'mine' AS {name} FROM range(100) t(i)")
    ingest(str(tmp_path / "in"), tmp_path / "ex")
    assert set(read_split(tmp_path / "ex", "train", name)) == {("mine",)}


@pytest.mark.parametrize("other", ["s-1b.csv", "s-2.csv"])
def test_names_that_differ_only_in_case_are_refused_by_their_files_until_the_query_names_the_column(
    tmp_path: Path, other: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "s-1a.csv").write_text("k,Price\n" + "".join(f"{i},1.5\n" for i in range(60)))
    (tmp_path / "in" / other).write_text("k,price\n" + "".join(f"{i},2.5\n" for i in range(60)))
    pattern = str(tmp_path / "in" / "s-{SPAN}*.csv")
    said = refusal(pattern, tmp_path / "ex", spans="all")
    assert all(part in said for part in ("s-1a.csv", other, "Price", "price"))
    query = said.partition("name it in the query: ")[2]
    ingest(pattern, tmp_path / "ex", spans="all", query=query)
    assert types_of(tmp_path / "ex") == {"k": "BIGINT", "Price": "DOUBLE"}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT hash(i) AS h FROM source", "column h of span 3 holds"),
        ("SELECT (i + 18446744073709551615)::UBIGINT AS h FROM source", "query"),
    ],
)
def test_whole_numbers_that_no_int64_holds_are_refused_where_a_query_makes_them(
    source: str, tmp_path: Path, query: str, says: str
) -> None:
    assert says in refusal(source, tmp_path / "ex", query=query)


def test_sums_of_whole_numbers_are_whole(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.parquet", f"SELECT i % 9 AS k, {2**60} + i AS n, i < 3 AS hit FROM range(18) t(i)")
    query = "SELECT k, sum(n) AS n, sum(hit::INT) AS hits, count_if(hit) AS c, sum(1) AS one FROM source GROUP BY k"
    ingest(str(tmp_path / "in"), tmp_path / "ex", query=query)
    assert set(types_of(tmp_path / "ex").values()) == {"BIGINT"}
    rows = read_split(tmp_path / "ex", "train") + read_split(tmp_path / "ex", "eval")
    assert sorted(rows) == [(k, 2**61 + 2 * k + 9, int(k < 3), int(k < 3), 2) for k in range(9)]


def test_whole_numbers_beyond_a_double_beside_fractions_are_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "s-1.parquet", f"SELECT {2**53 + 1} + i AS id FROM range(40) t(i)")
    write_file(tmp_path / "in" / "s-2.parquet", "SELECT i + 0.5::DOUBLE AS id FROM range(40) t(i)")
    pattern = str(tmp_path / "in" / "s-{SPAN}.parquet")
    assert "which a double cannot hold" in refusal(pattern, tmp_path / "ex", spans="all")
    ingest(pattern, tmp_path / "ex", spans="all", types={"id": "string"})
    assert (str(2**53 + 1),) in read_split(tmp_path / "ex", "train") + read_split(tmp_path / "ex", "eval")


@pytest.mark.parametrize(
    "name",
    [".part-0.parquet", "_temporary/0/part-0.parquet", ".ipynb_checkpoints/a.parquet", "~$a.parquet", "_x.parquet"],
)
@pytest.mark.parametrize("pattern", ["", "**/*.parquet"])
def test_files_that_writers_leave_aside_are_not_read(tmp_path: Path, name: str, pattern: str) -> None:
    write_file(tmp_path / "in" / "a.parquet", "SELECT i FROM range(60) t(i)")
    write_file(tmp_path / "in" / name, "SELECT i FROM range(60) t(i)")
    done = ingest(str(tmp_path / "in" / pattern), tmp_path / "ex")
    assert done.train_rows + done.eval_rows == 60
    if pattern:
        named = ingest(str(tmp_path / "in" / name), tmp_path / "named")
        assert named.train_rows + named.eval_rows == 60


def test_a_changed_source_under_the_same_name_is_refused(source: str, tmp_path: Path) -> None:
    spans, fingerprint, *_ = resolve_spans(source, "latest", 1)
    ingest(source, tmp_path / "ex", spans=spans, source_fingerprint=fingerprint)
    shutil.rmtree(tmp_path / "ex")
    write_file(tmp_path / "in" / "s-3.parquet", NUMBERS.format(rows=201))
    said = refusal(source, tmp_path / "ex", spans=spans, source_fingerprint=fingerprint)
    assert "have changed" in said


def test_existing_examples_are_never_overwritten(source: str, tmp_path: Path) -> None:
    ingest(source, tmp_path / "ex")
    before = (tmp_path / "ex" / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        ingest(source, tmp_path / "ex")
    assert (tmp_path / "ex" / "manifest.json").read_bytes() == before


def test_an_empty_folder_where_the_examples_go_is_used(source: str, tmp_path: Path) -> None:
    (tmp_path / "ex").mkdir()
    ingest(source, tmp_path / "ex")
    assert (tmp_path / "ex" / "manifest.json").is_file()


INGEST = (
    "import sys\n"
    "from mainspring.components.ingestion.ingest_examples import ingest_examples\n"
    "ingest_examples(sys.argv[1], sys.argv[2])\n"
)
STOPPED = """
import os, sys
from pyarrow import parquet
from mainspring.components.ingestion.ingest_examples import ingest_examples

write_table = parquet.ParquetWriter.write_table

def stopped(*given, **more):
    write_table(*given, **more)
    os.kill(os.getpid(), int(sys.argv[3]))

parquet.ParquetWriter.write_table = stopped
ingest_examples(sys.argv[1], sys.argv[2])
"""
"""Ingests, and is stopped once its first rows are written."""


def stopped_while_it_wrote(tmp_path: Path, number: signal.Signals) -> Path:
    """Ingests a file, stops that at its first rows, and returns where the examples would have come to lie."""
    write_file(tmp_path / "in" / "a.parquet", "SELECT i, random() AS x, uuid()::VARCHAR AS u FROM range(300000) t(i)")
    examples = tmp_path / "out" / "ex"
    command = [sys.executable, "-c", STOPPED, str(tmp_path / "in"), str(examples), str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (-signal.SIGKILL if number == signal.SIGKILL else -signal.SIGINT), done.stderr
    return examples


def test_a_killed_process_leaves_nothing_that_looks_finished_and_a_second_run_works(tmp_path: Path) -> None:
    examples = stopped_while_it_wrote(tmp_path, signal.SIGKILL)
    assert not examples.exists()
    write_file(tmp_path / "in" / "a.parquet", NUMBERS.format(rows=100))
    ingest(str(tmp_path / "in"), examples)
    assert sum(len(read_split(examples, split)) for split in ("train", "eval")) == 100


def test_a_task_told_to_stop_leaves_nothing(tmp_path: Path) -> None:
    assert left_over(stopped_while_it_wrote(tmp_path, signal.SIGINT).parent) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.parquet", "SELECT i, random() AS x, uuid()::VARCHAR AS u FROM range(200000) t(i)")
    small = tmp_path / "small"
    small.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("no file system may be mounted here")
    try:
        said = refusal_in_full_disk(tmp_path / "in", small / "ex")
        assert "disk is full" in said or "space" in said
        assert left_over(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=False)


def refusal_in_full_disk(source: Path, to: Path) -> str:
    with pytest.raises(UserError) as caught:
        ingest(str(source), to)
    return str(caught.value)


def test_a_file_size_limit_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.parquet", "SELECT i, random() AS x, uuid()::VARCHAR AS u FROM range(200000) t(i)")
    limited = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
    done = subprocess.run(
        [sys.executable, "-c", limited + INGEST, str(tmp_path / "in"), str(tmp_path / "out" / "ex")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mainspring: error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert left_over(tmp_path / "out") == []
