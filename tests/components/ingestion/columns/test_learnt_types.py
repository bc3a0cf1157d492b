"""A column is what it was for the served model: files are read as that, or refused by line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import read_split, types_of

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples


def served(folder: Path, values: list[str]) -> str:
    """Ingests a first span and returns the version that was trained on it."""
    source = write(folder / "first.csv", values)
    ingest_examples(source, str(folder / "first"))
    version = folder / "version"
    version.mkdir()
    shutil.copy(folder / "first" / "manifest.json", version / "examples.json")
    return str(version)


def write(path: Path, values: list[str]) -> str:
    path.write_text("k,v\n" + "".join(f"{place},{value}\n" for place, value in enumerate(values * 3)))
    return str(path)


def write_parquet(path: Path, values: list[object], kind: pa.DataType) -> str:
    keys = pa.array(range(len(values) * 3), pa.int64())
    pq.write_table(pa.table({"k": keys, "v": pa.array(values * 3, kind)}), path)
    return str(path)


def values_of(examples: Path) -> list[object]:
    found = read_split(examples, "train", "k, v") + read_split(examples, "eval", "k, v")
    return [value for _, value in sorted(found)]


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (["1", "2"], ["4.0", "5.00"], [4, 5]),
        (["1", "2"], ["", ""], [None, None]),
        (["1.5", "2"], ["4", "5"], [4.0, 5.0]),
        (["007", "012"], ["4", "5"], ["4", "5"]),
        (["a", "b"], ["1.0", "2.0"], ["1.0", "2.0"]),
        (["true", "false"], ["", "true"], [None, 1]),
        (["2013-02-01", "2013-02-02"], ["", ""], [None, None]),
    ],
)
def test_a_value_is_read_as_what_its_column_was(
    first: list[str], second: list[str], wanted: list[object], tmp_path: Path
) -> None:
    version = served(tmp_path, first)
    ingest_examples(write(tmp_path / "second.csv", second), str(tmp_path / "second"), baseline_uri=version)
    assert values_of(tmp_path / "second") == wanted * 3
    assert types_of(tmp_path / "second") == types_of(tmp_path / "first")


@pytest.mark.parametrize(
    ("first", "second", "kind", "wanted"),
    [
        (["1", "2"], [4.0, None], pa.float64(), [4, None]),
        (["1", "2"], [4, 5], pa.int32(), [4, 5]),
        (["1", "2"], [None, None], pa.null(), [None, None]),
        (["1.5", "2"], [4, 5], pa.int64(), [4.0, 5.0]),
        (["x", "y"], [4, 5], pa.int64(), ["4", "5"]),
        (["1", "2"], ["4", "5"], pa.string(), [4, 5]),
    ],
)
def test_parquet_is_read_as_what_its_column_was(
    first: list[str], second: list[object], kind: pa.DataType, wanted: list[object], tmp_path: Path
) -> None:
    version = served(tmp_path, first)
    source = write_parquet(tmp_path / "second.parquet", second, kind)
    ingest_examples(source, str(tmp_path / "second"), baseline_uri=version)
    assert values_of(tmp_path / "second") == wanted * 3
    assert types_of(tmp_path / "second") == types_of(tmp_path / "first")


@pytest.mark.parametrize(("first", "value"), [(["1", "2"], "4.5"), (["1.5", "2"], "far"), (["true", "false"], "often")])
def test_what_cannot_be_read_so_is_refused_by_line_and_goes_when_it_is_meant(
    first: list[str], value: str, tmp_path: Path
) -> None:
    version = served(tmp_path, first)
    source = write(tmp_path / "second.csv", [first[0], value])
    with pytest.raises(UserError, match=rf"second.csv: line 3: column v holds '{value}', but .* accept=v"):
        ingest_examples(source, str(tmp_path / "second"), baseline_uri=version)
    assert not (tmp_path / "second").exists()
    ingest_examples(source, str(tmp_path / "third"), baseline_uri=version, accept=["v"])
    ingest_examples(source, str(tmp_path / "fourth"), baseline_uri=version, types={"v": "string"})
    assert values_of(tmp_path / "fourth") == [first[0], value] * 3


def test_parquet_that_cannot_be_read_so_is_refused_by_value(tmp_path: Path) -> None:
    version = served(tmp_path, ["1", "2"])
    source = write_parquet(tmp_path / "second.parquet", [4.0, 4.5], pa.float64())
    with pytest.raises(UserError, match=r"column v of span .* holds '4.5', but by the data of the served model it is"):
        ingest_examples(source, str(tmp_path / "second"), baseline_uri=version)


def test_the_query_gets_the_columns_as_they_were(tmp_path: Path) -> None:
    version = served(tmp_path, ["007", "012"])
    source = write(tmp_path / "second.csv", ["4", "5"])
    query = "SELECT k, length(v) AS letters, v FROM source"
    ingest_examples(source, str(tmp_path / "second"), baseline_uri=version, query=query)
    assert types_of(tmp_path / "second") == {"k": "BIGINT", "letters": "BIGINT", "v": "VARCHAR"}


@pytest.mark.parametrize(("kind", "values", "wanted"), [("BYTES", ["4", "5"], ["4", "5"]), ("FLOAT", ["4"], [4.0])])
def test_a_given_schema_says_it_without_a_champion(
    kind: str, values: list[str], wanted: list[object], tmp_path: Path
) -> None:
    schema = tmp_path / "curated.textproto"
    schema.write_text(f'feature {{ name: "v" type: {kind} presence {{ min_count: 1 }} }} string_domain {{ name: "x" }}')
    source = write(tmp_path / "first.csv", values)
    ingest_examples(source, str(tmp_path / "first"), schema_uri=str(schema))
    assert values_of(tmp_path / "first") == wanted * 3


def test_a_given_schemas_whole_numbers_may_be_dates_in_the_file(tmp_path: Path) -> None:
    schema = tmp_path / "schema.pbtxt"
    schema.write_text('feature { name: "v" type: INT }')
    ingest_examples(write(tmp_path / "first.csv", ["2013-02-01"]), str(tmp_path / "first"), schema_uri=str(tmp_path))
    assert json.loads((tmp_path / "first" / "manifest.json").read_text())["moments"] == ["v"]


def test_a_schema_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "schema.pbtxt").write_text("feature {")
    source = write(tmp_path / "first.csv", ["1"])
    with pytest.raises(UserError, match=r"schema.pbtxt: cannot be read as a schema"):
        ingest_examples(source, str(tmp_path / "first"), schema_uri=str(tmp_path / "schema.pbtxt"))
