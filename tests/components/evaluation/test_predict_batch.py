"""Bulk inference: the same numbers as the model gives, row by row, in files like the examples' own."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import toys

from mainspring.components.common.errors import UserError
from mainspring.components.evaluation import rows
from mainspring.components.evaluation.predict_batch import predict_batch


@pytest.fixture
def examples(tmp_path):
    return toys.write_examples(tmp_path / "examples", toys.binary_columns())


def test_every_row_is_predicted_in_its_place(tmp_path, examples, models, monkeypatch):
    monkeypatch.setattr(rows, "BATCH_ROWS", 128)  # Several batches a file.
    out = tmp_path / "out"
    out.mkdir()  # KFP makes it.
    found = predict_batch(str(examples), str(models["good"]), str(out), columns=["y", "good"])
    assert found == (1200, 0)
    for name in ("1.parquet", "2.parquet"):
        table, source = pq.read_table(out / "eval" / name), pq.read_table(examples / "eval" / name)
        assert table.column_names == ["y", "good", "prediction", "predicted_class"]
        assert table["y"].to_pylist() == source["y"].to_pylist()
        np.testing.assert_allclose(table["prediction"], source["good"], rtol=1e-6)
        assert table["predicted_class"].to_pylist() == [str(int(p > 0.5)) for p in table["prediction"].to_pylist()]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["rows"], manifest["model_fingerprint"]) == (1200, "sha256:good")


def test_examples_without_labels_are_predicted(tmp_path, models):
    columns = toys.binary_columns()
    del columns["y"]
    examples = toys.write_examples(tmp_path / "examples", columns)
    assert predict_batch(str(examples), str(models["good"]), str(tmp_path / "out"), "eval").rows == 1200


def test_unusable_predictions_are_null_and_counted(tmp_path, models):
    columns = toys.binary_columns()
    columns["good"][[3, 4, 5]] = [math.nan, math.inf, 1.5]
    examples = toys.write_examples(tmp_path / "examples", columns, files=1)
    assert predict_batch(str(examples), str(models["good"]), str(tmp_path / "out")).unusable == 3
    table = pq.read_table(tmp_path / "out" / "eval" / "1.parquet")
    assert table["prediction"].null_count == table["predicted_class"].null_count == 3


def test_each_class_has_its_column(tmp_path):
    columns = {"carrier": ["UA"] * 3, "a": [0.7, 0.1, 0.2], "b": [0.3, 0.9, 0.8]}
    model = toys.write_model(tmp_path / "model", ["a", "b"], task=toys.MULTICLASS, classes=["x", "z"])
    examples = toys.write_examples(tmp_path / "examples", columns, files=1)
    predict_batch(str(examples), str(model), str(tmp_path / "out"), columns=["carrier"])
    table = pq.read_table(tmp_path / "out" / "eval" / "1.parquet")
    assert table.column_names == ["carrier", "prediction_x", "prediction_z", "predicted_class"]
    assert table["predicted_class"].to_pylist() == ["x", "z", "z"]


def test_a_failure_leaves_nothing_behind(tmp_path, examples, models):
    (examples / "eval" / "2.parquet").write_bytes(b"PAR1 rubbish")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        predict_batch(str(examples), str(models["good"]), str(tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {"examples"}


@pytest.mark.parametrize(
    ("given", "says"),
    [({"split": "test"}, "split: expected train, eval or all"), ({"columns": ["gone"]}, "'gone' is no column")],
)
def test_wrong_parameters_are_one_line(tmp_path, examples, models, given, says):
    with pytest.raises(UserError, match=says):
        predict_batch(str(examples), str(models["good"]), str(tmp_path / "out"), **given)
