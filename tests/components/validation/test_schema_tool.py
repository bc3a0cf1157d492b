"""The schema tool as the command line runs it: nothing widens unless told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flightlike import ROWS, Run, changed, span, write_examples
from google.protobuf import text_format
from tensorflow_data_validation import load_schema_text
from tensorflow_metadata.proto.v0 import schema_pb2

from mainspring.components.common.errors import UserError
from mainspring.components.validation import schema_tool


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `schema.pbtxt`, of the examples in `e`, and with others in `new`."""
    folder = tmp_path_factory.mktemp("schema")
    examples = write_examples(folder / "e", {"1": span(1), "2": span(2)})
    schema_tool.main(["infer", str(examples), "--label", "late", "--output", str(folder / "schema.pbtxt")])
    carriers = ["ZZ"] * 30 + span(3)["carrier"].to_pylist()[30:]
    distance = [None] * 400 + span(3)["distance"].to_pylist()[400:]
    table = changed(span(3), carrier=carriers, distance=distance).append_column("gate", [["A"] * ROWS])
    write_examples(folder / "new", {"3": table})
    return folder


def test_what_is_inferred_is_what_validation_infers(folder: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, folder / "e")
    found, expected = (load_schema_text(str(path)) for path in (folder / "schema.pbtxt", run.schema / "schema.pbtxt"))
    assert [(one.name, one.type, one.domain) for one in found.feature] == [
        (one.name, one.type, one.domain) for one in expected.feature
    ]
    assert Run(tmp_path / "2", folder / "e", schema_uri=str(folder / "schema.pbtxt")).valid


def test_diff_says_in_words_what_would_have_to_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "schema.pbtxt").read_bytes()
    schema_tool.main(["diff", str(folder / "schema.pbtxt"), str(folder / "new")])
    said = capsys.readouterr().out
    assert 'carrier: know the value "ZZ"' in said
    assert "gate: add the column, of text" in said
    assert "distance: " in said
    assert (folder / "schema.pbtxt").read_bytes() == before
    schema_tool.main(["diff", str(folder / "schema.pbtxt"), str(folder / "e")])
    assert "nothing to change" in capsys.readouterr().out


def test_update_writes_only_when_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_bytes((folder / "schema.pbtxt").read_bytes())
    schema_tool.main(["update", str(path), str(folder / "new"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["written"] is False
    assert {"feature": "gate", "sentence": "add the column, of text"} in told["changes"]
    assert path.read_bytes() == (folder / "schema.pbtxt").read_bytes()
    schema_tool.main(["update", str(path), str(folder / "new"), "--write"])
    assert text_format.Parse(path.read_text(), schema_pb2.Schema()) != load_schema_text(str(folder / "schema.pbtxt"))
    schema_tool.main(["diff", str(path), str(folder / "new")])
    assert "nothing to change" in capsys.readouterr().out
    # The drift thresholds that were reviewed stay.
    kept = {one.name: one.drift_comparator for one in load_schema_text(str(folder / "schema.pbtxt")).feature}
    for feature in load_schema_text(str(path)).feature:
        assert feature.name == "gate" or feature.drift_comparator == kept[feature.name]


def test_statistics_serve_as_well_as_examples(folder: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, folder / "e")
    for source in (run.statistics, run.statistics / "train" / "FeatureStats.pb"):
        found, _ = schema_tool.changes(str(folder / "schema.pbtxt"), str(source))
        assert found == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["infer", "{e}", "--label", "late", "--output", "{schema}"], "is there already"),
        (["infer", "{e}", "--label", "lat", "--output", "{none}"], "label='lat' is not a column"),
        (["infer", "{none}", "--label", "late", "--output", "{none}"], "neither examples"),
        (["diff", "{schema}", "{schema}"], "cannot be read as TFDV statistics"),
        (["diff", "{none}", "{e}"], "no such file"),
        (["diff", "{e}/manifest.json", "{e}"], "not a TFDV schema in text format"),
    ],
)
def test_wrong_input_is_refused_in_one_line(folder: Path, arguments: list[str], words: str) -> None:
    places = {"e": folder / "e", "schema": folder / "schema.pbtxt", "none": folder / "none"}
    with pytest.raises(UserError, match=words):
        schema_tool.main([argument.format(**places) for argument in arguments])
    assert not (folder / "none").exists()
