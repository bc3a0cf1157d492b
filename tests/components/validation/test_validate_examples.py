"""`validate_examples` as the pipeline calls it: plain values in, files and a verdict out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from flightlike import ROWS, Run, changed, span, write_examples
from gcs_server import google_storage
from google.cloud import storage
from google.protobuf import text_format
from tensorflow_data_validation import load_schema_text, load_stats_binary
from tensorflow_metadata.proto.v0 import anomalies_pb2

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version as deployment publishes it, made of spans 1 to 4."""
    folder = tmp_path_factory.mktemp("baseline")
    run = Run(folder, write_examples(folder / "examples", {str(n): span(n) for n in range(1, 5)}))
    assert run.valid, run.reasons
    (folder / "schema.pbtxt").write_bytes((run.schema / "schema.pbtxt").read_bytes())
    return folder


def window(last: pa.Table, spans: int = 4) -> dict[str, pa.Table]:
    return {str(n): span(n) for n in range(6 - spans, 5)} | {"5": last}


def miles_to_km(table: pa.Table) -> pa.Table:
    return changed(table, distance=[round(miles * 1.609) for miles in table["distance"].to_pylist()])


def with_unknown_carrier(table: pa.Table, rows: int) -> pa.Table:
    return changed(table, carrier=["ZZ"] * rows + table["carrier"].to_pylist()[rows:])


@pytest.mark.parametrize("spans", [1, 4])
def test_a_natural_span_passes(baseline: Path, tmp_path: Path, spans: int) -> None:
    run = Run(tmp_path, write_examples(tmp_path / "examples", window(span(5), spans)), baseline_uri=str(baseline))
    assert (run.valid, run.reasons) == (True, "")
    assert run.validation["schema"]["source"] == "baseline"
    assert {entry["feature"] for entry in run.validation["drift"]} == {"distance", "carrier", "tail", "seats", "late"}


def test_a_baseline_in_a_bucket_refuses_as_one_in_a_folder_does(baseline: Path, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", window(miles_to_km(span(5))))
    with google_storage():
        uri = f"gs://{storage.Client(project=None).create_bucket('baselines').name}/models/flights/3"
        for name in ("schema.pbtxt", "statistics"):
            put = buckets.upload_tree if (baseline / name).is_dir() else buckets.upload
            put(baseline / name, f"{uri}/{name}")
        run = Run(tmp_path / "there", examples, baseline_uri=uri)
    assert run.reasons == Run(tmp_path / "here", examples, baseline_uri=str(baseline)).reasons
    assert "distance: drifted" in run.reasons


@pytest.mark.parametrize("spans", [1, 4])
def test_a_changed_unit_in_the_newest_span_is_refused(baseline: Path, tmp_path: Path, spans: int) -> None:
    examples = write_examples(tmp_path / "examples", window(miles_to_km(span(5)), spans))
    run = Run(tmp_path, examples, baseline_uri=str(baseline))
    assert not run.valid
    assert run.reasons.startswith("distance: drifted against the baseline (Jensen–Shannon divergence 0.")
    assert "at most 0." in run.reasons
    assert "median" in run.reasons


@pytest.mark.parametrize("spans", [1, 4])
def test_an_unknown_value_is_refused_with_its_name_and_rows(baseline: Path, tmp_path: Path, spans: int) -> None:
    examples = write_examples(tmp_path / "examples", window(with_unknown_carrier(span(5), 3), spans))
    run = Run(tmp_path, examples, baseline_uri=str(baseline))
    assert run.said == 'carrier: 3 rows in span 5 have values that the schema does not know: "ZZ"'
    assert not run.valid


@pytest.mark.parametrize("spans", [1, 4])
def test_a_column_missing_in_the_newest_span_is_refused(baseline: Path, tmp_path: Path, spans: int) -> None:
    examples = write_examples(tmp_path / "examples", window(changed(span(5), distance=[None] * ROWS), spans))
    run = Run(tmp_path, examples, baseline_uri=str(baseline))
    assert run.said == "distance: missing in all rows of span 5; the schema requires it"


def test_a_column_missing_in_the_newest_span_is_refused_without_a_baseline_too(tmp_path: Path) -> None:
    run = Run(tmp_path, write_examples(tmp_path / "e", window(changed(span(5), distance=[None] * ROWS))))
    assert run.said == "distance: missing in all rows of span 5; the schema requires it"


def test_a_column_that_is_gone_is_refused(baseline: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, write_examples(tmp_path / "e", {"5": span(5).drop(["distance"])}), baseline_uri=str(baseline))
    assert run.said == "distance: not a column of the examples any more; the schema requires it"


def test_a_label_that_is_gone_is_refused_not_a_mistake_of_the_call(baseline: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, write_examples(tmp_path / "e", {"5": span(5).drop(["late"])}), baseline_uri=str(baseline))
    assert run.said == "late: not a column of the examples any more; it is the label"


def test_a_new_column_and_a_changed_type_are_refused_in_words(baseline: Path, tmp_path: Path) -> None:
    table = changed(span(5), late=[float(value) for value in span(5)["late"].to_pylist()])
    table = table.append_column("gate", pa.array(["A"] * ROWS))
    run = Run(tmp_path, write_examples(tmp_path / "e", {"5": table}), baseline_uri=str(baseline))
    assert "gate: a column that the schema does not know" in run.reasons
    assert "late: holds numbers with fractions; the schema expects whole numbers" in run.reasons


def test_more_missing_values_than_before_are_refused(baseline: Path, tmp_path: Path) -> None:
    seats = [None if index % 2 else value for index, value in enumerate(span(5)["seats"].to_pylist())]
    run = Run(
        tmp_path, write_examples(tmp_path / "e", {"5": changed(span(5), seats=seats)}), baseline_uri=str(baseline)
    )
    assert run.reasons.startswith("seats: missing in ")
    assert "the schema allows " in run.reasons


def test_a_shifted_category_is_refused_with_the_value_that_moved(baseline: Path, tmp_path: Path) -> None:
    carriers = ["AA" if index % 2 else value for index, value in enumerate(span(5)["carrier"].to_pylist())]
    table = changed(span(5), carrier=carriers)
    run = Run(tmp_path, write_examples(tmp_path / "e", {"5": table}), baseline_uri=str(baseline))
    assert run.reasons.startswith("carrier: drifted against the baseline (L∞ distance 0.")
    assert '"AA"' in run.reasons


def test_the_schema_never_widens(baseline: Path, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", window(with_unknown_carrier(span(5), 3)))
    run = Run(tmp_path, examples, baseline_uri=str(baseline))
    assert (run.schema / "schema.pbtxt").read_bytes() == (baseline / "schema.pbtxt").read_bytes()


def test_a_curated_schema_comes_before_the_baselines(baseline: Path, tmp_path: Path) -> None:
    text = "# Ours.\n" + (baseline / "schema.pbtxt").read_text().replace('value: "AA"', 'value: "AA"\n  value: "ZZ"')
    (tmp_path / "curated").mkdir()
    (tmp_path / "curated" / "schema.pbtxt").write_text(text)
    examples = write_examples(tmp_path / "examples", window(with_unknown_carrier(span(5), 3)))
    for uri in (tmp_path / "curated", (tmp_path / "curated" / "schema.pbtxt").as_uri()):
        run = Run(tmp_path / uri.__class__.__name__, examples, baseline_uri=str(baseline), schema_uri=str(uri))
        assert run.valid, run.reasons
        assert run.validation["schema"]["source"] == "given"
        assert (run.schema / "schema.pbtxt").read_text() == text


def test_a_curated_schema_without_environments_is_judged(tmp_path: Path) -> None:
    (tmp_path / "s.pbtxt").write_text(
        'feature { name: "x" type: INT presence { min_fraction: 1 } }\nfeature { name: "y" }'
    )
    table = pa.table({"x": [*range(199), None], "y": [0, 1] * 100})
    run = Run(tmp_path, write_examples(tmp_path / "e", {"all": table}), label="y", schema_uri=str(tmp_path / "s.pbtxt"))
    assert run.reasons.startswith("x: missing in 0.")
    assert "requires it in every row" in run.reasons


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"feature { name: ", "not a TFDV schema in text format"),
        (b"\x80\x02\xff", "not a TFDV schema in text format"),
        (b"", "the schema has no features"),
        (None, "no such file"),
    ],
)
def test_an_unreadable_schema_is_the_users_mistake(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "schema.pbtxt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        Run(tmp_path, write_examples(tmp_path / "e", {"1": span(1)}), schema_uri=str(path))
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert not (tmp_path / "statistics").exists()


@pytest.mark.parametrize("content", [None, b"", b"no statistics at all"])
def test_drift_that_cannot_be_judged_is_a_refusal(baseline: Path, tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "old" / "statistics" / "newest").mkdir(parents=True)
    (tmp_path / "old" / "schema.pbtxt").write_bytes((baseline / "schema.pbtxt").read_bytes())
    if content is not None:
        (tmp_path / "old" / "statistics" / "newest" / "FeatureStats.pb").write_bytes(content)
    run = Run(tmp_path, write_examples(tmp_path / "e", window(span(5))), baseline_uri=str(tmp_path / "old"))
    assert not run.valid
    assert run.reasons.startswith("baseline: ")
    assert run.said.endswith("drift cannot be judged")
    assert {"check": "drift", "passed": False} in run.validation["checks"]


def test_a_baseline_without_the_newest_span_is_compared_with_its_train(baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "old" / "statistics" / "train").mkdir(parents=True)
    for name in ("schema.pbtxt", "statistics/train/FeatureStats.pb"):
        (tmp_path / "old" / name).write_bytes((baseline / name).read_bytes())
    examples = write_examples(tmp_path / "e", window(miles_to_km(span(5))))
    run = Run(tmp_path, examples, baseline_uri=str(tmp_path / "old"))
    assert run.reasons.startswith("distance: drifted")


def test_a_label_that_no_column_has_names_close_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="label='lat' is not a column of the examples; close to it: late"):
        Run(tmp_path, write_examples(tmp_path / "e", {"1": span(1)}), label="lat")


def test_a_constant_label_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, write_examples(tmp_path / "e", {"1": changed(span(1), late=[1] * ROWS)}))
    assert run.said == ("late: the same value (1) in every row of train; it is the label: nothing to learn")


def test_rows_without_a_label_are_refused(tmp_path: Path) -> None:
    late = [None, None, *span(1)["late"].to_pylist()[2:]]
    run = Run(tmp_path, write_examples(tmp_path / "e", {"1": changed(span(1), late=late)}))
    assert run.reasons.startswith("late: missing in 0.")
    assert len(run.reasons.splitlines()) == 1


def test_an_empty_eval_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, write_examples(tmp_path / "e", {"1": span(1)}, eval_share=0))
    assert run.said == "eval: no rows; it cannot be judged"
    assert load_stats_binary(str(run.statistics / "eval" / "FeatureStats.pb")).datasets[0].num_examples == 0


def test_a_missing_eval_folder_is_refused_too(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"1": span(1)})
    (examples / "eval" / "1.parquet").unlink()
    assert Run(tmp_path, examples).said == "eval: no rows; it cannot be judged"


def test_one_row_is_too_few(tmp_path: Path) -> None:
    run = Run(tmp_path, write_examples(tmp_path / "e", {"1": span(1).slice(0, 1)}, eval_share=0))
    assert "train: 1 row; at least 100 are needed (min_rows)" in run.said.splitlines()
    assert not run.valid


def test_an_empty_newest_span_is_refused(baseline: Path, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", window(span(5).slice(0, 0)))
    run = Run(tmp_path, examples, baseline_uri=str(baseline))
    assert "span 5: no rows; it cannot be judged" in run.said.splitlines()


def test_a_schema_is_inferred_from_a_window_with_an_empty_span(tmp_path: Path) -> None:
    spans = {"1": span(1), "2": span(2).slice(0, 0), "3": span(3)}
    run = Run(tmp_path, write_examples(tmp_path / "e", spans))
    assert (run.valid, run.reasons) == (True, "")


def test_train_without_any_row_is_a_mistake_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train has no rows in any of the spans 1"):
        Run(tmp_path, write_examples(tmp_path / "e", {"1": span(1).slice(0, 0)}))


def test_a_column_without_any_value_is_refused(tmp_path: Path) -> None:
    table = span(1).append_column("empty", pa.nulls(ROWS, pa.string()))
    run = Run(tmp_path, write_examples(tmp_path / "e", {"1": table}))
    assert run.said == "empty: missing in all rows of train; leave the column out in the query"


def test_odd_column_names_and_values_go_through(tmp_path: Path) -> None:
    odd = ["a.b", "größe <b>", "with space", "c'd", '"q"']
    table = span(1)
    for name in odd:
        table = table.append_column(name, pa.array([f"{name}-{index % 3}" for index in range(ROWS)]))
    first = Run(tmp_path / "1", write_examples(tmp_path / "e1", {"1": table}))
    assert first.valid, first.reasons
    (tmp_path / "1" / "schema.pbtxt").write_bytes((first.schema / "schema.pbtxt").read_bytes())
    for name in odd:
        table = changed(table, **{name: ["日本 <x>", *table[name].to_pylist()[1:]]})
    run = Run(tmp_path / "2", write_examples(tmp_path / "e2", {"1": table}), baseline_uri=str(tmp_path / "1"))
    expected = [f'{name}: 1 row in eval has a value that the schema does not know: "日本 <x>"' for name in odd]
    assert sorted(run.said.splitlines()) == sorted(expected)
    assert "<b>" not in run.page


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"1": span(1)})
    path = examples / "train" / "1.parquet"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"train/1\.parquet: cannot be read as Parquet"):
        Run(tmp_path, examples)


def test_spans_with_different_columns_are_named(tmp_path: Path) -> None:
    table = changed(span(2), distance=np.arange(ROWS) / 2)
    with pytest.raises(UserError, match=r"2\.parquet: its columns are not those of .*1\.parquet \(distance\)"):
        Run(tmp_path, write_examples(tmp_path / "e", {"1": span(1), "2": table}))


def test_the_outputs_are_tfdvs_own_and_agree_with_the_verdict(baseline: Path, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", window(miles_to_km(span(5))))
    run = Run(tmp_path, examples, baseline_uri=str(baseline))
    anomalies = text_format.Parse((run.anomalies / "anomalies.pbtxt").read_text(), anomalies_pb2.Anomalies())
    assert list(anomalies.anomaly_info) == ["distance"]
    assert {feature.name for feature in load_schema_text(str(run.schema / "schema.pbtxt")).feature} >= {"late", "tail"}
    rows = {name: load_stats_binary(str(run.statistics / name / "FeatureStats.pb")).datasets[0].num_examples
            for name in ("newest", "train", "eval")}  # fmt: skip
    assert rows == run.validation["rows"]
    assert run.validation["valid"] is run.valid is False
    assert "\n".join(run.validation["reasons"]) == run.reasons
    assert run.validation["examples_fingerprint"] == "sha256:test"
    assert run.validation["baseline_uri"] == str(baseline)
    assert json.dumps(run.validation, allow_nan=False)


def test_the_report_shows_verdict_reasons_and_pictures_without_a_network(baseline: Path, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", window(miles_to_km(span(5))))
    run = Run(tmp_path, examples, baseline_uri=str(baseline))
    assert "Refused: 1 reason." in run.page
    assert "distance: drifted against the baseline" in run.page
    assert run.page.count("<svg") == len(span(5).column_names)
    assert "http://" not in run.page.replace("http://www.w3.org", "")
    assert "https://" not in run.page
