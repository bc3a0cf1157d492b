"""Buckets of numbers, the search for the worst slices, and intervals on metrics."""

import numpy as np
import pyarrow as pa
import pytest
import toys

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, ModelManifest
from mainspring.components.evaluation.metrics import noise
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.slices import slice_columns, worst_slices


def numbers(values, buckets):
    edges = slice_columns.edges_of(np.array(values, np.float64), buckets)
    gathered = slice_columns.Numbers("x", edges)
    for part in np.array_split(np.arange(len(values)), 3):
        gathered.add(pa.array([values[i] for i in part], pa.float64()))
    return gathered.column()


def texts(values):
    gathered = slice_columns.Values()
    gathered.add(pa.array(values))
    return gathered.column()


def test_numbers_are_cut_at_the_edges_given():
    column = numbers([None, -5.0, 0.0, 9.99, 10.0, 1e9, float("nan")], (0.0, 10.0))
    assert column.names == ["below 0", "0 to below 10", "10 or more", None]
    assert column.codes.tolist() == [3, 0, 1, 1, 2, 2, 3]


def test_numbers_are_cut_into_buckets_of_equal_size():
    column = numbers([float(i) for i in range(1000)], 4)
    assert np.bincount(column.codes).tolist() == pytest.approx([250] * 4, abs=1)
    # Values that repeat make fewer buckets, never empty ones.
    assert np.bincount(numbers([1.0] * 60 + [2.0] * 40, 4).codes).tolist() == [60, 40]
    assert numbers([3.0] * 5, 4).names == ["any number", None]
    assert numbers([None] * 5, 4).codes.tolist() == [1] * 5


def test_a_gate_judges_every_bucket_of_a_number(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["distance"] = np.arange(len(columns["y"])) % 100
    columns["good"] = np.where(columns["distance"] >= 80, columns["bad"], columns["good"])
    examples = toys.write_examples(tmp_path / "examples", columns)
    policy = "buckets: {distance: [50, 80]}\ngates: [{metric: AUC, slice: distance, min: 0.7}]"
    result = evaluate(examples, models["good"], policy=policy)
    assert not result.blessed
    assert [gate["slice"] for gate in result.content["gates"] if not gate["passed"]] == [{"distance": "80 or more"}]
    assert [entry["rows"] for entry in result.content["slices"]] == [600, 360, 240]


def test_buckets_of_a_column_that_holds_no_numbers_are_one_line(tmp_path, models, evaluate):
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns())
    with pytest.raises(UserError, match="'carrier' holds values that are no numbers"):
        evaluate(examples, models["good"], policy="buckets: {carrier: 3}\nslices: [carrier]")


def test_the_worst_slice_is_found_without_being_asked_for(tmp_path, models, evaluate):
    columns = toys.binary_columns(4000)
    bad = (np.array(columns["carrier"]) == "B6") & (np.array(columns["origin"]) == "EWR")
    columns["good"] = np.where(bad, 1 - columns["good"], columns["good"])
    model = toys.write_model(tmp_path / "model", ["good"], texts=["carrier", "origin"])
    columns["origin"] = [origin or "JFK" for origin in columns["origin"]]
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), model)
    worst = result.content["worst_slices"]
    assert set(worst["found"][0]["slice"].items()) >= {("carrier", "B6"), ("origin", "EWR")}
    assert worst["found"][0]["challenger"]["auc"] < 0.5
    assert worst["found"][0]["p_value"] < 0.001
    assert worst["found"][0]["intervals"]["challenger"]["auc"]["high"] < 0.5
    assert "B6" in result.report.read_text(encoding="utf-8").split("Worst slices")[1]
    assert evaluate(tmp_path / "examples", model, policy="worst_slices: 0").content["worst_slices"] is None


def test_a_pair_is_named_only_where_one_feature_does_not_explain_it():
    random = np.random.default_rng(1)
    one, other = random.integers(0, 3, 6000), random.integers(0, 3, 6000)
    losses = random.exponential(size=6000) + (one == 2)
    columns = {"one": texts([str(value) for value in one]), "other": texts([str(value) for value in other])}
    assert [bad.values for bad in worst_slices.search(columns, losses, 100, 10).found] == [{"one": "2"}]
    losses += 2.0 * ((one == 0) & (other == 1))
    assert {"one": "0", "other": "1"} in [bad.values for bad in worst_slices.search(columns, losses, 100, 10).found]


def test_where_all_slices_are_alike_hardly_any_is_named_though_many_are_tried():
    named = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        columns = {f"f{i}": texts([str(value) for value in random.integers(0, 5, 2000)]) for i in range(6)}
        found = worst_slices.search(columns, random.normal(size=2000) ** 2, 50, 10)
        assert found.tried == 6 * 5 + 15 * 25
        named += bool(found.found)
    # Of 405 slices tried 40 times each, 20 would be below 5 % by chance in every single run.
    assert named <= 8


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth, held = 0.3, 0
    model = ModelManifest(BINARY, "y", ["0", "1"], {"x": "numeric"}, {}, 1, "", "", "", "", {})
    intervals = noise.intervals_with([Metric("BinaryAccuracy")], model)
    for seed in range(200):
        labels = (np.random.default_rng(seed).random(400) < truth).astype(np.int8)
        predictions = np.ones(400, np.float32)  # Right as often as the label is 1.
        interval = intervals(labels, predictions, {"binary_accuracy": labels.mean()})["binary_accuracy"]
        held += interval.low <= truth <= interval.high
    assert 0.89 <= held / 200 <= 0.99


def test_metrics_come_with_intervals(tmp_path, models, evaluate):
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns())
    content = evaluate(examples, models["good"], models["fair"], "slices: [carrier]").content
    for role in ("challenger", "champion"):
        interval = content["intervals"][role]["auc"]
        assert interval["low"] < content["metrics"][role]["auc"] < interval["high"]
        assert 0.001 < interval["high"] - interval["low"] < 0.1
        assert all(entry["intervals"][role].keys() == {"auc"} for entry in content["slices"])
