"""Many columns: TFDV's results to the last bit, without what makes TFDV slow at them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from flightlike import Run, write_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_data_validation import load_stats_binary
from tensorflow_data_validation.api.validation_api import infer_schema, validate_statistics
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from mainspring.components.statistics import drift, span_statistics, validating
from mainspring.components.statistics.span_statistics import by_name
from mainspring.components.validation import validation_report

WIDE = 450
NUMBERS = st.one_of(
    st.lists(st.integers(-(2**53), 2**53) | st.none(), min_size=1, max_size=60),
    st.lists(st.floats(width=64) | st.none(), min_size=1, max_size=60),
    st.lists(st.sampled_from([0.0, 1.0, 2.5, float("nan"), -7.0]), min_size=1, max_size=60),
)


def canonical(table: pa.Table) -> pa.RecordBatch:
    return CanonicalizeRecordBatch(table.combine_chunks().to_batches()[0])


def statistics_of(table: pa.Table) -> Any:
    return span_statistics.extract([span_statistics.added(None, canonical(table))])


@given(NUMBERS, st.integers(1, 40))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_histograms_are_tfdvs_to_the_last_bit(values: list[Any], repeated: int) -> None:
    whole = all(value is None or isinstance(value, int) for value in values)
    column = pa.array(values * repeated, pa.int64() if whole else pa.float64())
    table = pa.table({"x": column})
    ours, theirs = statistics_of(table), generate_statistics_in_memory(canonical(table), span_statistics.options())
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


def columns(count: int, rows: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    words = np.array([f"word {number} of {seed}" for number in range(12)])
    kinds = (
        lambda: random.integers(0, 1000, rows) + 5000 * seed,
        lambda: random.normal(20 * seed, 1, rows),
        lambda: words[random.integers(0, len(words), rows)],
    )
    return pa.table({f"c{number}": kinds[number % 3]() for number in range(count)} | {"late": np.arange(rows) % 2})


def statistics_and_schema(table: pa.Table) -> tuple[Any, schema_pb2.Schema]:
    statistics = statistics_of(table)
    schema = infer_schema(statistics)
    for feature in schema.feature:
        drift.set_threshold(feature, 0.1)
        feature.skew_comparator.CopyFrom(feature.drift_comparator)
    schema.dataset_constraints.min_examples_count = 1_000_000
    return statistics, schema


def test_validation_by_parts_finds_what_tfdv_finds_at_once() -> None:
    before, schema = statistics_and_schema(columns(90, 400, 0))
    now, _ = statistics_and_schema(columns(90, 400, 1).drop(["c7", "c8"]).append_column("new", pa.array([1.5] * 400)))
    expected = validate_statistics(now, schema, None, before, before)
    expected.ClearField("baseline")
    found = validating.validate(now, schema, previous=before, serving=before)
    order = [info.path.step[0] for info in expected.drift_skew_info]
    assert {*found.anomaly_info} == {*expected.anomaly_info} >= {"c0", "c1", "c2", "c7", "c8", "new"}
    assert sorted(info.path.step[0] for info in found.drift_skew_info) == sorted(order)
    found.drift_skew_info.sort(key=lambda info: order.index(info.path.step[0]))
    assert found.HasField("dataset_anomaly_info")
    assert found == expected


def test_the_time_of_validation_grows_with_the_columns_and_not_with_their_square() -> None:
    seconds = {}
    for count in (100, 500):
        statistics, schema = statistics_and_schema(columns(count, 50, 0))
        started = time.process_time()
        validating.validate(statistics, schema, previous=statistics)
        seconds[count] = time.process_time() - started
    assert seconds[500] < 12 * seconds[100]  # Linear: 5; TFDV in one go: 22.


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("first")
    return Run(folder / "r", write_examples(folder / "e", {"1": columns(WIDE, 300, 0)}))


def test_hundreds_of_columns_are_judged_and_the_page_can_be_opened(first: Run) -> None:
    assert (first.valid, first.reasons) == (True, "")
    assert len(by_name(load_stats_binary(str(first.statistics / "train" / "FeatureStats.pb")))) == WIDE + 1
    assert len(first.page) < 1_500_000
    assert "151 further columns without a picture" in first.page


def test_hundreds_of_columns_that_all_moved_are_all_named(first: Run, tmp_path: Path) -> None:
    shutil.copytree(first.statistics, tmp_path / "base" / "statistics")
    shutil.copy(first.schema / "schema.pbtxt", tmp_path / "base")
    table = columns(WIDE, 300, 1)
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"2": table}), baseline_uri=str(tmp_path / "base"))
    named = {reason.split(":")[0] for reason in run.reasons.splitlines()}
    assert not run.valid
    assert named >= {*table.column_names} - {"late"}
    assert len(run.page) < 1_500_000
    assert 0 < run.page.count("Such as") <= validation_report.LISTED_WITH_ROWS
