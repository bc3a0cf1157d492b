"""Skew against what was served, and statistics per slice, both as TFDV itself has them."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from flightlike import ROWS, Run, changed, span, write_examples
from tensorflow_data_validation import GenerateStatistics, StatsOptions, load_schema_text, load_stats_binary
from tensorflow_data_validation.api.validation_api import validate_statistics
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_data_validation.utils import slicing_util
from test_statistics import assert_same
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from mainspring.components.common.errors import UserError
from mainspring.components.statistics import chance, drift, slice_statistics, span_statistics


def canonical(table: pa.Table) -> pa.RecordBatch:
    return CanonicalizeRecordBatch(table.combine_chunks().to_batches()[0])


def served(folder: Path, table: pa.Table) -> Path:
    folder.mkdir()
    statistics = generate_statistics_in_memory(canonical(table.drop(["late"])))
    (folder / "FeatureStats.pb").write_bytes(statistics.SerializeToString())
    return folder


def test_what_is_served_as_it_is_trained_on_passes(tmp_path: Path) -> None:
    uri = str(served(tmp_path / "served", span(6)))
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"5": span(5)}), serving_statistics_uri=uri)
    assert (run.valid, run.reasons) == (True, "")
    assert {entry["feature"] for entry in run.validation["skew"]} == {"distance", "carrier", "tail", "seats"}


def test_what_is_served_in_another_unit_is_refused_as_tfdv_measures_it(tmp_path: Path) -> None:
    kilometres = changed(span(6), distance=[round(miles * 1.609) for miles in span(6)["distance"].to_pylist()])
    uri = served(tmp_path / "served", kilometres)
    examples = write_examples(tmp_path / "e", {"5": span(5)})
    run = Run(tmp_path / "r", examples, serving_statistics_uri=str(uri / "FeatureStats.pb"))
    assert run.reasons.startswith("distance: served otherwise than it is trained on (Jensen–Shannon divergence 0.")
    assert len(run.reasons.splitlines()) == 1
    trained, serving = (load_stats_binary(str(path / "FeatureStats.pb")) for path in (run.statistics / "train", uri))
    schema = drift.with_skew_thresholds(load_schema_text(str(run.schema / "schema.pbtxt")))
    theirs = validate_statistics(
        trained, chance.suited(schema, serving, trained), environment="TRAINING", serving_statistics=serving
    )
    assert list(theirs.anomaly_info) == ["distance"]
    assert run.validation["skew"] == [vars(one) for one in drift.skew_measured(theirs)]


def test_a_skew_comparator_of_the_schema_goes_before_the_drifts(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"5": span(5)})
    first = Run(tmp_path / "1", examples)
    text = (first.schema / "schema.pbtxt").read_text()
    strict = text.replace(
        'feature {\n  name: "carrier"',
        'feature {\n  name: "carrier"\n  skew_comparator { infinity_norm { threshold: 1e-9 } }',
    )
    (tmp_path / "s.pbtxt").write_text(strict)
    uri = str(served(tmp_path / "served", span(6)))
    run = Run(tmp_path / "2", examples, schema_uri=str(tmp_path / "s.pbtxt"), serving_statistics_uri=uri)
    assert run.reasons.startswith("carrier: served otherwise")


def test_skew_that_cannot_be_judged_is_a_refusal(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"5": span(5)})
    run = Run(tmp_path / "r", examples, serving_statistics_uri=str(tmp_path / "none.pb"))
    assert run.said.endswith("none.pb: no such file; skew cannot be judged")
    (tmp_path / "s.pbtxt").write_text("".join(f'feature {{ name: "{name}" }}\n' for name in span(5).column_names))
    uri = str(served(tmp_path / "served", span(6)))
    run = Run(tmp_path / "2", examples, schema_uri=str(tmp_path / "s.pbtxt"), serving_statistics_uri=uri)
    assert "skew cannot be judged" in run.reasons


def test_slices_equal_those_of_tfdvs_beam_pipeline(tmp_path: Path) -> None:
    table = span(5).append_column("day", pa.array(np.arange(ROWS) % 3))
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"5": table}, eval_share=0.5), slices=["carrier", "day"])
    assert run.valid, run.reasons
    rows = table.filter(pa.array((np.arange(ROWS) * 0.618) % 1 >= 0.5))
    options = StatsOptions(
        num_quantiles_histogram_buckets=span_statistics.QUANTILE_BUCKETS,
        experimental_slice_functions=[
            slicing_util.get_feature_value_slicer({name: None}) for name in ("carrier", "day")
        ],
    )
    with beam.Pipeline(options=PipelineOptions(["--runner=DirectRunner"])) as pipeline:
        _ = (
            pipeline
            | beam.Create([canonical(rows)])
            | GenerateStatistics(options)
            | beam.Map(lambda found: (tmp_path / "theirs.pb").write_bytes(found.SerializeToString()))
        )
    theirs = {one.name: one for one in load_stats_binary(str(tmp_path / "theirs.pb")).datasets}
    ours = {one.name: one for one in load_stats_binary(str(run.statistics / "train" / "FeatureStats.pb")).datasets}
    assert set(ours) == set(theirs)
    assert {"All Examples", "carrier_AA", "day_2"} <= set(ours)
    for name, dataset in theirs.items():
        assert_same(type(run_list := load_stats_binary(str(tmp_path / "theirs.pb")))(datasets=[ours[name]]),
                    type(run_list)(datasets=[dataset]))  # fmt: skip


def test_a_baseline_with_slices_is_compared_as_a_whole(tmp_path: Path) -> None:
    first = Run(tmp_path / "b", write_examples(tmp_path / "e", {"4": span(4)}), slices=["carrier"])
    (tmp_path / "b" / "schema.pbtxt").write_bytes((first.schema / "schema.pbtxt").read_bytes())
    run = Run(tmp_path / "r", write_examples(tmp_path / "e2", {"5": span(5)}), baseline_uri=str(tmp_path / "b"))
    assert (run.valid, run.reasons) == (True, "")
    assert run.validation["drift"]


@pytest.mark.parametrize(
    ("slices", "words"),
    [(["carier"], "slices='carier' is not a column"), (["x"], "holds numbers with fractions"), (["n"], "at most 200")],
)
def test_slices_that_make_no_sense_are_refused(tmp_path: Path, slices: list[str], words: str) -> None:
    table = span(5).append_column("x", pa.array(np.arange(ROWS) / 2)).append_column("n", pa.array(np.arange(ROWS)))
    with pytest.raises(UserError, match=words):
        Run(tmp_path / "r", write_examples(tmp_path / "e", {"5": table}), slices=slices)
    assert not (tmp_path / "r" / "statistics").exists()
    assert slice_statistics.MOST_SLICES == 200
