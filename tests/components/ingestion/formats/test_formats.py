from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tables import read_split, types_of, write_file

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples


def all_rows(examples: Path, columns: str = "*") -> list[tuple[object, ...]]:
    return sorted(read_split(examples, "train", columns) + read_split(examples, "eval", columns), key=repr)


def refusal(source: Path, to: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        ingest_examples(str(source), str(to), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not to.exists()
    return str(caught.value)


def text_file(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


LINES = [f"{i},{i * 0.5},n{i}" for i in range(60)]
EXPECTED = sorted(((i, i * 0.5, f"n{i}") for i in range(60)), key=repr)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV", "deep/er/a.csv"])
def test_csv_with_a_header(tmp_path: Path, name: str) -> None:
    text_file(tmp_path / "in" / name, "\n".join(["i,x,s", *LINES]) + "\n")
    ingest_examples(str(tmp_path / "in"), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == EXPECTED
    assert types_of(tmp_path / "ex") == {"i": "BIGINT", "x": "DOUBLE", "s": "VARCHAR"}


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv_without_a_header_takes_the_names_given(tmp_path: Path, name: str) -> None:
    text_file(tmp_path / name, "\n".join(LINES) + "\n")
    ingest_examples(str(tmp_path / name), str(tmp_path / "ex"), csv_columns=["i", "x", "s"])
    assert all_rows(tmp_path / "ex") == EXPECTED


def test_tab_separated_values(tmp_path: Path) -> None:
    text_file(tmp_path / "a.tsv", "\n".join(["i\tx\ts", *(line.replace(",", "\t") for line in LINES)]) + "\n")
    ingest_examples(str(tmp_path / "a.tsv"), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == EXPECTED


def test_a_header_of_a_table_of_words_is_not_taken_for_a_row(tmp_path: Path) -> None:
    text_file(tmp_path / "a.csv", "colour,shape\n" + "red,round\nblue,square\n" * 30)
    ingest_examples(str(tmp_path / "a.csv"), str(tmp_path / "ex"))
    assert types_of(tmp_path / "ex") == {"colour": "VARCHAR", "shape": "VARCHAR"}
    assert len(all_rows(tmp_path / "ex")) == 60


def test_quoted_newlines_commas_and_quotes_stay_in_their_value(tmp_path: Path) -> None:
    text_file(tmp_path / "a.csv", 'i,s\n1,"two\nlines"\n2,"a, b"\n3,"say ""hi"""\n')
    ingest_examples(str(tmp_path / "a.csv"), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == [(1, "two\nlines"), (2, "a, b"), (3, 'say "hi"')]


def test_json_lines_plain_and_gzipped_with_missing_keys(tmp_path: Path) -> None:
    lines = [json.dumps({"i": i, "x": i * 0.5, "s": f"n{i}"}) for i in range(60)]
    text_file(tmp_path / "in" / "a.jsonl", "\n".join(lines[:30]))
    text_file(tmp_path / "in" / "b.jsonl.gz", "\n".join(lines[30:]))
    ingest_examples(str(tmp_path / "in"), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == EXPECTED
    text_file(tmp_path / "c.jsonl", '{"i": 1, "s": null}\n{"i": 2}\n{"i": null, "s": "x"}\n')
    ingest_examples(str(tmp_path / "c.jsonl"), str(tmp_path / "ex2"))
    assert all_rows(tmp_path / "ex2") == [(1, None), (2, None), (None, "x")]


def test_a_key_that_occurs_late_is_a_column_all_the_same(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.jsonl", '{"i": 1}\n' * 210_000 + '{"i": 2, "late": "x"}\n')
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert set(all_rows(tmp_path / "ex", "i, late")) == {(1, None), (2, "x")}


def test_json_lines_in_very_many_files_are_read_with_all_their_keys(tmp_path: Path) -> None:
    for i in range(60):
        row = {"i": i, "x": None if i < 20 else i if i < 40 else i + 0.5} | ({"last": "z"} if i == 59 else {})
        text_file(tmp_path / "in" / f"{i:02}.jsonl", json.dumps(row) + "\n")
    ingest_examples(str(tmp_path / "in"), str(tmp_path / "ex"))
    found = sorted(all_rows(tmp_path / "ex", "i, x, last"))
    assert [row[0] for row in found] == list(range(60))
    assert [found[0][1:], found[20][1:], found[59][1:]] == [(None, None), (20.0, None), (59.5, "z")]


def test_json_lines_of_hundreds_of_alike_keys_are_rows_of_columns(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.jsonl", (json.dumps({f"k{j}": j for j in range(400)}) + "\n") * 30)
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert list(types_of(tmp_path / "ex").values()) == ["BIGINT"] * 400


@pytest.mark.parametrize("text", ['{"a": 1, "A": 2}\n', '{"a": 1}\n{"A": 2}\n'])
def test_json_keys_that_differ_in_case_only_are_refused(tmp_path: Path, text: str) -> None:
    assert "both a column a and a column A" in refusal(text_file(tmp_path / "a.jsonl", text), tmp_path / "ex")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-02-01", 1_359_676_800),
        ("2013-02-01 10:00:00", 1_359_712_800),
        ("2013-02-01T10:00:00Z", 1_359_712_800),
        ("2013-02-01T10:00:00+02:00", 1_359_705_600),
        ("01/02/2013", "01/02/2013"),
        ("25/12/2013", "25/12/2013"),
        ("01-02-2013", "01-02-2013"),
        ("01/02/2013 10:00:00", "01/02/2013 10:00:00"),
    ],
)
def test_a_date_is_what_iso_8601_writes_and_nothing_that_could_be_two_days(
    tmp_path: Path, ending: str, text: str, expected: object
) -> None:
    lines = f"d,i\n{text},1\n" if ending == "csv" else json.dumps({"d": text, "i": 1})
    ingest_examples(str(text_file(tmp_path / f"a.{ending}", lines)), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == [(expected, 1)]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_the_names_of_folders_are_no_columns(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "late=1" / "year=2013" / f"a.{ending}"
    options = "(FORMAT json)" if ending == "jsonl" else ""
    write_file(path, "SELECT i, i % 2 AS late FROM range(60) t(i)", options)
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == sorted(((i, i % 2) for i in range(60)), key=repr)


@pytest.mark.parametrize("header", ["a,b,a", "a,b,A", '"a",b,a'])
def test_two_csv_columns_of_one_name_are_refused(tmp_path: Path, header: str) -> None:
    path = text_file(tmp_path / "a.csv", f"{header}\n1,2,3\n")
    assert f"a.csv: has both a column a and a column {header[-1]}" in refusal(path, tmp_path / "ex")


@pytest.mark.parametrize("text", ['{"i": 1}\n{"i": ', "[1, 2", "not json\n", '{"i": [1]}\n', '{"i": {"j": 1}}\n'])
def test_json_that_is_broken_or_nested_is_refused(tmp_path: Path, text: str) -> None:
    refusal(text_file(tmp_path / "a.jsonl", text), tmp_path / "ex")


def test_every_format_of_the_same_rows_gives_the_same_examples(tmp_path: Path) -> None:
    rows = "SELECT i, i * 0.5 AS x, 'n' || i AS s, DATE '2026-01-01' + i::INT AS d FROM range(60) t(i)"
    found = set()
    for ending in ("parquet", "csv", "csv.gz", "jsonl"):
        path = write_file(tmp_path / "in" / f"a.{ending}", rows, "(FORMAT json)" if ending == "jsonl" else "")
        found.add(ingest_examples(str(path), str(tmp_path / ending)))
    assert len(found) == 1


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252", "shift_jis"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_other_encodings_are_read_when_named(tmp_path: Path, encoding: str, ending: str) -> None:
    word = "日本" if encoding in ("shift_jis", "utf-16") else "naïve"
    path = text_file(
        tmp_path / f"a.{ending}", f"i,wörd\n1,{word}\n" if word == "naïve" else f"i,w\n1,{word}\n", encoding
    )
    ingest_examples(str(path), str(tmp_path / "ex"), encoding=encoding)
    assert all_rows(tmp_path / "ex") == [(1, word)]


def test_a_wrong_encoding_is_refused(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.csv", "i,s\n1,naïve\n", "latin-1")
    assert "a.csv" in refusal(path, tmp_path / "ex")
    assert "is not in ascii" in refusal(path, tmp_path / "ex", encoding="ascii")
    assert "encoding is 'klingon'" in refusal(path, tmp_path / "ex", encoding="klingon")


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.csv", "i,s\n1,x\n", "utf-8-sig")
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert list(types_of(tmp_path / "ex")) == ["i", "s"]


def test_a_row_with_too_many_values_is_refused(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 300_000 + "1,2,3,4\n")
    assert "a.csv: line 300,002 has 4 values where there are 2 columns" in refusal(path, tmp_path / "ex")


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("3", "line 52 has 1 value where there are 2 columns: column b and what follows are not there"),
        ("3,4,5\n", "line 52 has 3 values where there are 2 columns: '5' stands behind column b"),
        ('3,"x', "line 52: a quote is not closed"),
        ('3,"x\n1,2\n', "line 52: a quote is not closed"),
        ("3,\xff\n", "line 52, column b is not in UTF-8 (byte 0xff); name its encoding"),
    ],
)
def test_a_faulty_row_is_refused_by_its_line_and_its_fault(tmp_path: Path, end: str, cause: str) -> None:
    path = text_file(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 50 + end, "latin-1")
    assert f"a.csv: {cause}" in refusal(path, tmp_path / "ex")
    assert "a.csv" in refusal(path, tmp_path / "ex", csv_columns=["a", "b"])


@pytest.mark.parametrize("ends", [("\n", "\r\n"), ("\r\n", "\n"), ("\r", "\n")])
@pytest.mark.parametrize("rows", [1, 3_000])
def test_a_file_whose_rows_end_in_several_ways_is_read(tmp_path: Path, ends: tuple[str, str], rows: int) -> None:
    lines = [f"{i},x{i}{ends[i >= rows]}" for i in range(rows + 3_000)]
    ingest_examples(str(text_file(tmp_path / "a.csv", f"i,s{ends[0]}" + "".join(lines))), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == sorted(((i, f"x{i}") for i in range(rows + 3_000)), key=repr)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_zeros_behind_gzip_and_a_mark_above_json_lines_are_no_content(tmp_path: Path, name: str) -> None:
    text = "i,s\n1,x\n" if "csv" in name else '\ufeff{"i": 1, "s": "x"}\n'
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) + bytes(512))
    ingest_examples(str(tmp_path / name), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == [(1, "x")]


@pytest.mark.parametrize("text", ["", "i,s\n"])
def test_a_file_without_rows_takes_no_part(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    text_file(tmp_path / "in" / "a.csv", text)
    text_file(tmp_path / "in" / "b.csv", "i,s\n1,x\n")
    ingest_examples(str(tmp_path / "in"), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == [(1, "x")]
    assert ("a.csv is empty" in capsys.readouterr().out) == (not text)
    (tmp_path / "in" / "b.csv").unlink()
    assert "has no rows" in refusal(tmp_path / "in", tmp_path / "ex2")


def test_a_line_that_is_no_json_is_refused_by_its_number(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.jsonl", '{"i": 1}\n\n{"i": 2}\n{"i": ]}\n')
    assert "a.jsonl: line 4 is no JSON" in refusal(path, tmp_path / "ex")
    path = text_file(tmp_path / "b.jsonl", '{"i": 1}\n[1]\n')
    assert "b.jsonl: line 2 is no JSON object: '[1]'" in refusal(path, tmp_path / "ex")


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
@pytest.mark.parametrize("above", ["", "\ufeff"])
def test_the_separator_is_that_of_the_first_line(tmp_path: Path, separator: str, above: str) -> None:
    lines = ['i,"x, or y; or z"', '1,"q;|,r"', '2,"say ""hi"", or \'so\'"', "3,", '4,"back\\slash"']
    path = text_file(tmp_path / "a.csv", above + "\n".join(line.replace(",", separator, 1) for line in lines))
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert list(types_of(tmp_path / "ex")) == ["i", "x, or y; or z"]
    assert [row[1] for row in all_rows(tmp_path / "ex")] == ["q;|,r", "say \"hi\", or 'so'", None, "back\\slash"]


def test_rows_that_look_like_comments_are_rows(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.csv", "#tag,n\n" + "#fun,1\n#sad,2\n" * 20 + "plain,3\n")
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert len(all_rows(tmp_path / "ex", '"#tag"')) == 41


@pytest.mark.parametrize("above", ["\n\n", "\ufeff\n", "# made by hand\n"])
def test_lines_above_the_header_are_refused(tmp_path: Path, above: str) -> None:
    refusal(text_file(tmp_path / "a.csv", above + "i,s\n" + "1,x\n" * 20), tmp_path / "ex")


def test_rows_above_longer_ones_are_not_left_out(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 5 + "3,4,5\n" * 200)
    refusal(path, tmp_path / "ex")


def test_quotes_escaped_by_a_backslash_are_read(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.csv", "i,s\n" + r'1,"say \"hi\", or so"' + "\n")
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == [(1, 'say "hi", or so')]


def test_files_of_a_span_with_different_separators_are_refused(tmp_path: Path) -> None:
    text_file(tmp_path / "in" / "a.csv", "i,s\n1,x\n")
    text_file(tmp_path / "in" / "b.csv", "i;s\n1;x\n")
    assert "b.csv: its values are separated by ';'" in refusal(tmp_path / "in", tmp_path / "ex")


@pytest.mark.parametrize("names", [["i"], ["i", "s", "t"]])
def test_names_for_more_or_fewer_columns_than_there_are_are_refused(tmp_path: Path, names: list[str]) -> None:
    said = refusal(text_file(tmp_path / "a.csv", "1,x\n2,y\n"), tmp_path / "ex", csv_columns=names)
    assert f"csv_columns names {len(names)} columns" in said


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_truncated_gzip_file_is_refused(tmp_path: Path, name: str) -> None:
    lines = [f'{{"i": {i * 7919 % 1_000_003}}}' for i in range(50_000)]
    path = text_file(tmp_path / name, "i\n" * name.startswith("a.csv") + "\n".join(lines))
    path.write_bytes(path.read_bytes()[:-20_000])
    refusal(path, tmp_path / "ex")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_gzip_file_without_its_ending_is_refused_as_what_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"i\n1\n"))
    assert "is compressed by gzip; its name must end in .gz" in refusal(tmp_path / name, tmp_path / "ex")


def test_formats_mixed_in_a_span_are_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "a.parquet", "SELECT 1 AS i")
    text_file(tmp_path / "in" / "b.csv", "i\n1\n")
    assert "several formats: csv, parquet" in refusal(tmp_path / "in", tmp_path / "ex")


def test_a_format_given_reads_files_of_any_ending(tmp_path: Path) -> None:
    path = text_file(tmp_path / "part-00000", "i,s\n1,x\n")
    ingest_examples(str(path), str(tmp_path / "ex"), file_format="csv")
    assert all_rows(tmp_path / "ex") == [(1, "x")]
    assert "file_format is 'xml'" in refusal(path, tmp_path / "ex2", file_format="xml")


def test_not_a_number_is_missing_and_infinity_is_refused(tmp_path: Path) -> None:
    write_file(
        tmp_path / "a.parquet", "SELECT i, CASE WHEN i = 1 THEN 'nan'::DOUBLE ELSE i END AS x FROM range(3) t(i)"
    )
    ingest_examples(str(tmp_path / "a.parquet"), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex", "x") == [(0.0,), (2.0,), (None,)]
    path = write_file(
        tmp_path / "b.parquet", "SELECT i, 1 / (i - 1.0)::DOUBLE AS x, 'inf'::FLOAT AS y FROM range(3) t(i)"
    )
    said = refusal(path, tmp_path / "ex2")
    assert "holds infinity" in said


@pytest.mark.parametrize("word", ["NA", "N/A", "NaN", "nan", "NULL", "null", ""])
def test_words_for_a_missing_value_do_not_make_a_number_column_text(tmp_path: Path, word: str) -> None:
    path = text_file(tmp_path / "a.csv", f"i,x\n1,1.5\n2,{word}\n3,2.5\n")
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex") == [(1, 1.5), (2, None), (3, 2.5)]


def test_a_column_missing_in_all_rows_is_text_without_values(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.csv", "i,x\n" + "1,\n" * 5)
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert types_of(tmp_path / "ex") == {"i": "BIGINT", "x": "VARCHAR"}
    assert set(all_rows(tmp_path / "ex", "x")) == {(None,)}


def test_a_csv_row_of_a_megabyte_is_read_and_one_of_three_refused_by_its_size(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.csv", "i,s\n1," + "é" * 500_000 + "\n")
    ingest_examples(str(path), str(tmp_path / "ex"))
    assert all_rows(tmp_path / "ex", "i, length(s)") == [(1, 500_000)]
    said = refusal(text_file(tmp_path / "b.csv", "i,s\n1," + "x" * 3_000_000 + "\n"), tmp_path / "ex2")
    assert "Maximum line size of 2000000 bytes exceeded" in said


def test_five_thousand_columns_and_a_string_of_a_megabyte(tmp_path: Path) -> None:
    columns = ", ".join(f"i + {n} AS c{n}" for n in range(5_000))
    write_file(tmp_path / "wide.parquet", f"SELECT {columns}, repeat('é', 500_000) AS long FROM range(3) t(i)")
    ingest_examples(str(tmp_path / "wide.parquet"), str(tmp_path / "ex"))
    assert len(types_of(tmp_path / "ex")) == 5_001
    assert all_rows(tmp_path / "ex", "c0, c4999, length(long)") == [(i, i + 4_999, 500_000) for i in range(3)]
