"""Bulk inference: the same numbers as the model gives, row by row, in files like the examples' own."""

import json
import math
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest
import toys
from gcs_server import google_storage
from google.cloud import storage

from mainspring.components.common import buckets, found_files
from mainspring.components.common.errors import UserError
from mainspring.components.evaluation.predict_batch import predict_batch
from mainspring.components.evaluation.scoring import rows


@pytest.fixture
def examples(tmp_path):
    return toys.write_examples(tmp_path / "examples", toys.binary_columns())


def test_every_row_is_predicted_in_its_place(tmp_path, examples, models, monkeypatch):
    monkeypatch.setattr(rows, "BATCH_ROWS", 128)  # Several batches a file.
    out = tmp_path / "out"
    out.mkdir()  # KFP makes it.
    found = predict_batch(str(models["good"]), str(out), str(examples), columns=["y", "good"])
    assert found == (2400, 0)  # Train and eval.
    for name in ("1.parquet", "2.parquet"):
        table, source = pq.read_table(out / "eval" / name), pq.read_table(examples / "eval" / name)
        assert table.column_names == ["y", "good", "prediction", "predicted_class"]
        assert table["y"].to_pylist() == source["y"].to_pylist()
        np.testing.assert_allclose(table["prediction"], source["good"], rtol=1e-6)
        assert table["predicted_class"].to_pylist() == [str(int(p > 0.5)) for p in table["prediction"].to_pylist()]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["rows"], manifest["model_fingerprint"]) == (2400, "sha256:good")


def test_examples_without_labels_are_predicted(tmp_path, models):
    columns = toys.binary_columns()
    del columns["y"]
    examples = toys.write_examples(tmp_path / "examples", columns)
    assert predict_batch(str(models["good"]), str(tmp_path / "out"), str(examples), split="eval").rows == 1200


def test_unusable_predictions_are_null_and_counted(tmp_path, models):
    columns = toys.binary_columns()
    columns["good"][[3, 4, 5]] = [math.nan, math.inf, 1.5]
    examples = toys.write_examples(tmp_path / "examples", columns, files=1)
    assert predict_batch(str(models["good"]), str(tmp_path / "out"), str(examples), split="eval").unusable == 3
    table = pq.read_table(tmp_path / "out" / "eval" / "1.parquet")
    assert table["prediction"].null_count == table["predicted_class"].null_count == 3


def test_each_class_has_its_column(tmp_path):
    columns = {"carrier": ["UA"] * 3, "a": [0.7, 0.1, 0.2], "b": [0.3, 0.9, 0.8]}
    model = toys.write_model(tmp_path / "model", ["a", "b"], task=toys.MULTICLASS, classes=["x", "z"])
    examples = toys.write_examples(tmp_path / "examples", columns, files=1)
    predict_batch(str(model), str(tmp_path / "out"), str(examples), columns=["carrier"])
    table = pq.read_table(tmp_path / "out" / "eval" / "1.parquet")
    assert table.column_names == ["carrier", "prediction_x", "prediction_z", "predicted_class"]
    assert table["predicted_class"].to_pylist() == ["x", "z", "z"]


def test_a_failure_leaves_nothing_behind(tmp_path, examples, models):
    (examples / "eval" / "2.parquet").write_bytes(b"PAR1 rubbish")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        predict_batch(str(models["good"]), str(tmp_path / "out"), str(examples))
    assert {path.name for path in tmp_path.iterdir()} == {"examples"}


@pytest.mark.parametrize(
    ("given", "says"),
    [({"split": "test"}, "split: expected train, eval or all"), ({"columns": ["gone"]}, "'gone' is no column")],
)
def test_wrong_parameters_are_one_line(tmp_path, examples, models, given, says):
    with pytest.raises(UserError, match=says):
        predict_batch(str(models["good"]), str(tmp_path / "out"), str(examples), **given)


@pytest.mark.parametrize("form", ["file", "folder", "pattern"])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_are_predicted_by_path_folder_and_pattern(tmp_path, models, form, kind):
    folder = tmp_path / "source"
    folder.mkdir()
    table = pa.table({name: toys.binary_columns()[name] for name in ("carrier", "origin", "good")})
    write = {"parquet": pq.write_table, "csv": pv.write_csv}[kind]
    write(table.slice(0, 700), folder / f"march.{kind}")
    write(table.slice(700), folder / f"april.{kind}")
    source = {"file": folder / f"march.{kind}", "folder": folder, "pattern": folder / f"*.{kind}"}[form]
    found = predict_batch(str(models["good"]), str(tmp_path / "out"), source=str(source), columns=["origin"])
    assert found.rows == (700 if form == "file" else 1200)
    written = pq.read_table(tmp_path / "out" / "march.parquet")
    np.testing.assert_allclose(written["prediction"], table["good"][:700], rtol=1e-6)
    assert written["origin"].to_pylist() == table["origin"][:700].to_pylist()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["source"]["march.parquet"].endswith(f"march.{kind}")


def test_files_in_a_bucket_are_predicted_like_files_here(tmp_path, models):
    table = pa.table({name: toys.binary_columns()[name] for name in ("carrier", "origin", "good")})
    folder = tmp_path / "source"
    for place in ("2024/march.parquet", "2024/april.parquet", "2025/march.parquet"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(0, 300), folder / place)
    (folder / "torn.parquet").write_text("no Parquet")
    with google_storage():
        bucket = f"gs://{storage.Client(project=None).create_bucket(f'b{uuid.uuid4().hex}').name}"
        buckets.upload_tree(folder, f"{bucket}/rows")

        def predict(source, out):
            return predict_batch(str(models["good"]), str(tmp_path / out), source=f"{bucket}/{source}").rows

        assert predict("rows/2024", "folder") == predict("rows/*/march.parquet", "pattern") == 600
        assert predict("rows/2025/march.parquet", "file") == 300
        assert len(found_files.find(bucket, (".parquet",))) == 4  # A whole bucket.
        written = pq.read_table(tmp_path / "file" / "march.parquet")
        np.testing.assert_allclose(written["prediction"], table["good"][:300], rtol=1e-6)
        with pytest.raises(UserError, match=f"{bucket}/rows/torn.parquet: cannot be read"):
            predict("rows/torn.parquet", "torn")
        with pytest.raises(UserError, match="no such file; give a file"):
            predict("rows/gone-*.parquet", "gone")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.csv", "carrier,good\nUA,much\n", "cannot be read as CSV"),
        ("rows.csv", "carrier\nUA\n", "source: 'good' is no column of the source"),
        ("rows.parquet", "no parquet", "cannot be read"),
        ("rows.txt", "carrier,good\nUA,0.5\n", "neither Parquet nor CSV"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_line_and_nothing_is_published(tmp_path, models, name, content, says):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=says):
        predict_batch(str(models["good"]), str(tmp_path / "out"), source=str(tmp_path / name))
    assert not (tmp_path / "out").exists()


def test_examples_and_source_together_or_neither_are_one_line(tmp_path, examples, models):
    for given in ({}, {"examples": str(examples), "source": "rows.csv"}, {"source": str(tmp_path / "gone-*.csv")}):
        with pytest.raises(UserError, match=r"give examples or source|no such file"):
            predict_batch(str(models["good"]), str(tmp_path / "out"), **given)


def test_each_of_several_labels_has_its_column(tmp_path):
    columns = {"carrier": ["UA"] * 3, "a": [0.7, 0.1, math.nan], "b": [0.8, 0.2, 0.8]}
    model = toys.write_model(tmp_path / "model", ["a", "b"], task=toys.MULTILABEL, classes=["x", "z"])
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    found = predict_batch(str(model), str(tmp_path / "out"), source=str(tmp_path / "rows.parquet"), columns=["carrier"])
    table = pq.read_table(tmp_path / "out" / "rows.parquet")
    assert table.column_names == ["carrier", "prediction_x", "prediction_z", "predicted_classes"]
    assert table["predicted_classes"].to_pylist() == [["x", "z"], [], None]
    assert found.unusable == 1


def test_a_column_of_an_outputs_name_is_kept_under_another_and_works_as_a_feature(tmp_path, capsys):
    columns = toys.binary_columns()
    columns["prediction"] = columns.pop("good")
    columns["source_prediction"] = columns.pop("fair")
    examples = toys.write_examples(tmp_path / "examples", columns)
    model = toys.write_model(tmp_path / "model", ["prediction"])
    predict_batch(str(model), str(tmp_path / "out"), str(examples), split="eval")
    found = pq.read_table(tmp_path / "out" / "eval")
    np.testing.assert_allclose(found["prediction"], columns["prediction"], rtol=1e-6)
    np.testing.assert_array_equal(found["source_source_prediction"], columns["prediction"])
    np.testing.assert_array_equal(found["source_prediction"], columns["source_prediction"])
    assert "'prediction' is written as 'source_source_prediction'" in capsys.readouterr().out
