"""Our statistics against TFDV's own of the same rows, and what is inferred from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flightlike import span
from tensorflow_data_validation import generate_statistics_from_dataframe
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from mainspring.components.statistics import drift, span_statistics
from mainspring.components.statistics.span_statistics import by_name, common
from mainspring.components.validation import schemas


def statistics_of(*tables: pa.Table) -> Any:
    whole = pa.concat_tables(tables).combine_chunks().to_batches()[0]
    return generate_statistics_in_memory(CanonicalizeRecordBatch(whole), span_statistics.options())


def ours(folder: Path, *tables: pa.Table, count: int = 3) -> Any:
    cut = []
    for index, table in enumerate(tables):
        pq.write_table(table, folder / f"{index}.parquet", row_group_size=700)
        cut += span_statistics.pieces(folder / f"{index}.parquet", count)
    return span_statistics.extract(span_statistics.accumulate(cut))


def assert_same(found: Any, expected: Any) -> None:
    assert span_statistics.dataset(found).num_examples == span_statistics.dataset(expected).num_examples
    left, right = by_name(found), by_name(expected)
    assert list(left) == list(right)
    for name, feature in right.items():
        assert left[name].type == feature.type
        for field in ("num_missing", "num_non_missing", "min_num_values", "max_num_values", "tot_num_values"):
            assert getattr(common(left[name]), field) == getattr(common(feature), field), (name, field)
        if feature.HasField("string_stats"):
            mine, theirs = left[name].string_stats, feature.string_stats
            assert mine.unique == theirs.unique
            assert mine.avg_length == pytest.approx(theirs.avg_length)
            assert span_statistics.value_counts(left[name]) == span_statistics.value_counts(feature)
        else:
            mine, theirs = left[name].num_stats, feature.num_stats
            assert (mine.min, mine.max, mine.num_zeros) == (theirs.min, theirs.max, theirs.num_zeros)
            assert mine.mean == pytest.approx(theirs.mean, rel=1e-12)
            assert mine.std_dev == pytest.approx(theirs.std_dev, rel=1e-9)
            tolerance = 0.02 * (theirs.max - theirs.min)
            assert mine.median == pytest.approx(theirs.median, abs=tolerance)
            for one, other in zip(mine.histograms, theirs.histograms, strict=True):
                for ours_bucket, bucket in zip(one.buckets, other.buckets, strict=True):
                    assert ours_bucket.high_value == pytest.approx(bucket.high_value, abs=tolerance)
                    assert ours_bucket.sample_count == pytest.approx(bucket.sample_count, abs=0.02 * sum_of(other))


def sum_of(histogram: Any) -> float:
    return sum(bucket.sample_count for bucket in histogram.buckets)


def test_statistics_in_pieces_equal_tfdvs_in_memory(tmp_path: Path) -> None:
    tables = [span(number) for number in (1, 2, 3)]
    assert_same(ours(tmp_path, *tables), statistics_of(*tables))


def test_statistics_equal_tfdvs_of_a_data_frame(tmp_path: Path) -> None:
    table = span(1).drop(["seats"])  # pandas turns whole numbers with gaps into fractions.
    assert_same(
        ours(tmp_path, table, count=1),
        generate_statistics_from_dataframe(table.to_pandas(), stats_options=span_statistics.options()),
    )


def test_nulls_nans_infinities_and_unicode_are_counted_as_tfdv_counts_them(tmp_path: Path) -> None:
    table = pa.table(
        {
            "number": [1.5, None, float("nan"), float("inf"), -2.0, 0.0] * 50,
            "empty": pa.nulls(300, pa.int64()),
            "größe": ["ä", None, "", "日本", "x" * 500, "ä"] * 50,
        }
    )
    found, expected = ours(tmp_path, table, count=1), statistics_of(table)
    assert found.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)


def test_extracting_leaves_the_accumulators_as_they_were(tmp_path: Path) -> None:
    pq.write_table(span(1), tmp_path / "1.parquet")
    states = span_statistics.accumulate(span_statistics.pieces(tmp_path / "1.parquet", 4))
    first = span_statistics.extract(states)
    span_statistics.extract(states[:2])
    assert span_statistics.extract(states) == first


def test_pieces_cover_every_row_once_wherever_row_groups_end(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": np.arange(1000)}), tmp_path / "x.parquet", row_group_size=170)
    cut = span_statistics.pieces(tmp_path / "x.parquet", 4)
    for piece, state in zip(cut, span_statistics.accumulate(cut), strict=True):
        numbers = by_name(span_statistics.extract([state]))["x"].num_stats
        assert (numbers.min, numbers.max) == (piece.start, piece.stop - 1)
    assert (cut[0].start, cut[-1].stop) == (0, 1000)


def infer(*spans: pa.Table, held_out: pa.Table | None = None, label: str = "late") -> dict[str, schema_pb2.Feature]:
    quarter = spans[0].num_rows // 4
    parts = list(spans) if len(spans) > 1 else [spans[0].slice(index * quarter, quarter) for index in range(4)]
    evaluation = spans[0] if held_out is None else held_out
    named = [statistics_of(part) for part in parts]
    used = schemas.infer(statistics_of(*spans), statistics_of(evaluation), named, label, len(spans) > 1)
    return {feature.name: feature for feature in used.proto.feature}


def threshold(feature: schema_pb2.Feature) -> float:
    comparator = feature.drift_comparator
    return max(comparator.infinity_norm.threshold, comparator.jensen_shannon_divergence.threshold)


def test_a_feature_that_differs_fully_between_spans_has_no_comparator() -> None:
    features = infer(span(1), span(2), span(3))
    assert not features["month"].HasField("drift_comparator")
    assert threshold(features["carrier"]) == drift.THRESHOLD_FLOOR
    assert threshold(features["distance"]) == drift.NUMBERS_FLOOR


def test_a_feature_that_drifts_within_the_window_may_drift_further() -> None:
    spans = [
        span(number).set_column(1, "distance", pa.array(np.arange(3000) % 1000 + 150 * number)) for number in (1, 2, 3)
    ]
    features = infer(*spans)
    assert drift.NUMBERS_FLOOR < threshold(features["distance"]) < 1


def test_what_grows_down_a_lone_span_has_no_comparator() -> None:
    table = span(1).append_column("running", pa.array(np.arange(3000)))
    features = infer(table)
    assert not features["running"].HasField("drift_comparator")
    assert threshold(features["carrier"]) >= drift.THRESHOLD_FLOOR


def test_a_number_that_never_changes_is_neither_a_truth_value_nor_compared() -> None:
    features = infer(span(1))
    assert not features["month"].HasField("bool_domain")
    assert not features["month"].HasField("drift_comparator")
    assert features["late"].HasField("bool_domain")


def test_the_label_is_required_in_training_only() -> None:
    features = infer(span(1), span(2))
    assert list(features["late"].not_in_environment) == ["SERVING"]
    assert not features["carrier"].not_in_environment


def test_a_vocabulary_whose_values_come_and_go_is_open_and_a_steady_one_is_closed() -> None:
    def with_towns(number: int) -> pa.Table:
        towns = [f"T{index % 40}" for index in range(2995)] + [f"new-{number}"] * 5
        return span(number).append_column("town", pa.array(towns))

    features = infer(*(with_towns(number) for number in (1, 2, 3)))
    assert features["town"].distribution_constraints.min_domain_mass == pytest.approx(0.95)
    assert features["carrier"].domain
    assert not features["carrier"].HasField("distribution_constraints")
    assert not features["tail"].domain


def test_a_text_that_is_another_one_in_every_span_has_no_domain() -> None:
    features = infer(*(span(number).append_column("day", pa.array([f"2013-0{number}"] * 3000)) for number in (1, 2, 3)))
    assert not features["day"].domain


def test_a_rare_value_that_only_eval_has_is_no_anomaly_of_the_same_data() -> None:
    carriers = span(1)["carrier"].to_pylist()
    held_out = span(1).set_column(2, "carrier", pa.array(["OO", *carriers[1:]]))
    features = infer(span(1), span(2), held_out=held_out)
    assert 0.99 < features["carrier"].distribution_constraints.min_domain_mass < 1


def test_missing_values_are_allowed_where_there_were_some() -> None:
    features = infer(span(1), span(2))
    assert 0.6 < features["seats"].presence.min_fraction < 0.75
    assert features["distance"].presence.min_fraction == 1
