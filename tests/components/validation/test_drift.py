"""What counts as drift: a change of distribution, and neither one odd row nor the luck of a small sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flightlike import Run, changed, span, write_examples
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from mainspring.components.statistics import chance, drift, span_statistics


def published(folder: Path, table: pa.Table) -> Path:
    """A baseline of one span."""
    run = Run(folder, write_examples(folder / "examples", {"1": table}), min_rows=50)
    assert run.valid, run.reasons
    (folder / "schema.pbtxt").write_bytes((run.schema / "schema.pbtxt").read_bytes())
    return folder


def judged(folder: Path, baseline: Path, table: pa.Table) -> Run:
    examples = write_examples(folder / "examples", {"2": table})
    return Run(
        folder, examples, baseline_uri=str(baseline), policy="severity: [{anomaly: too_few_rows, severity: ignore}]"
    )


def statistics(path: Path, values: np.ndarray) -> DatasetFeatureStatisticsList:
    pq.write_table(pa.table({"x": values}), path)
    return span_statistics.extract(span_statistics.accumulate(span_statistics.pieces(path)))


def with_one_odd_aircraft(table: pa.Table) -> pa.Table:
    return changed(table, seats=[9000, *table["seats"].to_pylist()[1:]])


def test_one_odd_row_is_no_drift_on_either_side(tmp_path: Path) -> None:
    plain, odd = published(tmp_path / "plain", span(1)), published(tmp_path / "odd", with_one_odd_aircraft(span(1)))
    assert judged(tmp_path / "1", plain, with_one_odd_aircraft(span(2))).reasons == ""
    assert judged(tmp_path / "2", odd, span(2)).reasons == ""


def test_a_change_of_unit_is_drift_beside_an_odd_row_too(tmp_path: Path) -> None:
    odd = published(tmp_path / "odd", with_one_odd_aircraft(span(1)))
    kilometres = changed(
        span(2), seats=[None if seats is None else round(seats * 1.6) for seats in span(2)["seats"].to_pylist()]
    )
    assert judged(tmp_path / "r", odd, kilometres).reasons.startswith("seats: drifted against the baseline")


@pytest.mark.parametrize("rows", [400, 1000])
def test_small_samples_of_the_same_rows_do_not_drift_and_changed_ones_do(tmp_path: Path, rows: int) -> None:
    baseline = published(tmp_path / "b", span(1).slice(0, rows))
    for number in (2, 3, 4):
        table = span(number).slice(0, rows)
        run = judged(tmp_path / f"{number}", baseline, table)
        assert "drifted" not in run.reasons
        longer = changed(table, distance=[miles * 2 for miles in table["distance"].to_pylist()])
        assert "distance: drifted" in judged(tmp_path / f"{number}-longer", baseline, longer).reasons


@pytest.mark.parametrize("rows", [200, 1000, 5000])
def test_chance_alone_moves_samples_by_less_than_twice_what_is_expected(tmp_path: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    samples = [statistics(tmp_path / f"{side}", random.normal(size=rows)) for side in (0, 1)]
    schema = schema_pb2.Schema(feature=[schema_pb2.Feature(name="x", type=schema_pb2.FLOAT)])
    allowed = chance.by_chance(*(span_statistics.by_name(one)["x"] for one in samples))
    assert drift.largest_between(samples, schema)["x"] < allowed


def test_statistics_with_tfdvs_default_histograms_are_judged_on_those(tmp_path: Path) -> None:
    def theirs(table: pa.Table) -> bytes:
        batch = CanonicalizeRecordBatch(table.combine_chunks().to_batches()[0])
        return bytes(generate_statistics_in_memory(batch).SerializeToString())

    baseline = published(tmp_path / "b", span(1))
    for name in ("newest", "train"):
        (baseline / "statistics" / name / "FeatureStats.pb").write_bytes(theirs(span(1)))
    assert judged(tmp_path / "same", baseline, span(2)).reasons == ""
    kilometres = changed(span(2), distance=[round(miles * 1.609) for miles in span(2)["distance"].to_pylist()])
    assert judged(tmp_path / "km", baseline, kilometres).reasons.startswith("distance: drifted")
