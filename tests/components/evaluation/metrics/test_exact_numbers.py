"""Numbers that gates decide on are exact: whatever the scores' range, the label's scale or a feature's size."""

import math

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import toys
from sklearn import metrics as sklearn_metrics

from mainspring.components.common.manifests import ModelManifest
from mainspring.components.evaluation.metrics import areas, measuring, noise, replicates
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.slices import slice_columns, slices

ROWS = 4000


def binary(seed=1, rows=ROWS, share=0.3):
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < share).astype(np.int8)
    return labels, labels * 1.2 + random.normal(size=rows)


def sigmoid(values):
    return (1 / (1 + np.exp(-values))).astype(np.float32)


def scores_of(values):
    """Returns the same order of rows in many ranges, and orders with ties."""
    likely = sigmoid(values)
    return {
        "usual": likely,
        "tiny": (likely * 1e-6).astype(np.float32),
        "below any bucket": (likely * 1e-30).astype(np.float32),
        "near one": sigmoid(values + 9),
        "in tenths": np.round(likely, 1),
        "of two values": (likely > 0.6).astype(np.float32),
        "all alike": np.full(len(values), 0.25, np.float32),
        "below zero": values.astype(np.float32),
        "doubles": values * 1e-9 + 0.5,
    }


def test_areas_are_sklearns_on_any_range_with_ties_and_for_either_share_of_positives():
    for share in (0.3, 0.002, 0.999):
        labels, values = binary(share=share)
        for name, scores in scores_of(values).items():
            positive = labels == 1
            expected = sklearn_metrics.roc_auc_score(labels, scores)
            assert areas.under_roc(positive, scores) == pytest.approx(expected, abs=1e-12), (share, name)
            expected = sklearn_metrics.average_precision_score(labels, scores)
            assert areas.average_precision(positive, scores) == pytest.approx(expected, abs=1e-12), (share, name)


def test_without_each_group_of_rows_areas_are_sklearns_of_the_others():
    labels, values = binary(rows=1000)
    for name in ("AUC", "AUCPrecisionRecall"):
        oracle = sklearn_metrics.roc_auc_score if name == "AUC" else sklearn_metrics.average_precision_score
        for scores in scores_of(values).values():
            found = replicates.without_each(Metric(name))(labels, scores)
            kept = list(replicates.kept_rows(labels, scores))
            assert found == pytest.approx([oracle(labels[rows], scores[rows]) for rows in kept], abs=1e-12)


def test_areas_of_several_classes_and_of_slices_are_sklearns():
    random = np.random.default_rng(5)
    labels = random.integers(0, 4, ROWS)
    raw = np.exp(random.normal(size=(ROWS, 4)) + 1.5 * np.eye(4)[labels]) * np.array([1, 1e-5, 1e-7, 1e-3])
    scores = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    model = ModelManifest("multiclass_classification", "y", list("abcd"), {"x": "numeric"}, {}, 1, "", "", "", "", {})
    measure = measuring.measure_with([Metric("AUC"), Metric("AUCPrecisionRecall")], model)
    for part in (slice(None), slice(0, 500), slice(3000, None)):
        found, truth = measure(labels[part].astype(np.int8), scores[part]), np.eye(4)[labels[part]]
        assert found["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores[part]), abs=1e-12)
        expected = sklearn_metrics.average_precision_score(truth, scores[part])
        assert found["auc_precision_recall"] == pytest.approx(expected, abs=1e-12)


def test_a_metric_with_settings_of_tfmas_is_still_tfmas():
    labels, values = binary()
    model = ModelManifest("binary_classification", "y", ["0", "1"], {"x": "numeric"}, {}, 1, "", "", "", "", {})
    metrics = [
        Metric("AUC", {"name": "minoring", "summation_method": "minoring"}),
        Metric("AUC", {"name": "pr", "curve": "PR"}),
        Metric("AUC", {"name": "roc", "num_thresholds": 50}),
    ]
    found = measuring.measure_with(metrics, model)(labels, sigmoid(values))
    exact = sklearn_metrics.roc_auc_score(labels, values)
    assert found["minoring"] < exact
    assert found["roc"] == pytest.approx(exact, abs=1e-9)
    assert found["pr"] == pytest.approx(sklearn_metrics.average_precision_score(labels, sigmoid(values)), abs=1e-9)


def test_errors_are_those_of_doubles_at_any_scale():
    random = np.random.default_rng(2)
    model = ModelManifest("regression", "y", [], {"x": "numeric"}, {}, 1, "", "", "", "", {})
    names = ["RootMeanSquaredError", "MeanSquaredError", "MeanAbsoluteError"]
    measure = measuring.measure_with([Metric(name) for name in names], model)
    for centre, unit in ((0.0, 1.0), (0.0, 3e-7), (0.0, 1e20), (1.79e9, 10.0), (0.0, 1e-170), (0.0, 1e170)):
        labels = centre + unit * random.normal(size=ROWS)
        predictions = labels + unit * 0.1 * random.normal(size=ROWS)
        with np.errstate(over="ignore", under="ignore"):
            found = measure(labels, predictions)
        error = np.abs(predictions - labels) / unit
        assert found["root_mean_squared_error"] / unit == pytest.approx(math.sqrt((error**2).mean()), rel=1e-12)
        assert found["mean_absolute_error"] / unit == pytest.approx(error.mean(), rel=1e-12)


@pytest.mark.parametrize("scale", [3e-7, 1.0, 1e20])
def test_a_regression_is_blessed_or_not_for_what_it_does_at_any_scale(tmp_path, evaluate, scale):
    random = np.random.default_rng(3)
    y = random.normal(size=600)
    columns = {
        "y": y * scale,
        "carrier": ["UA"] * 600,
        "good": (y + 0.3 * random.normal(size=600)) * scale,
        "fair": (y + 0.6 * random.normal(size=600)) * scale,
        "bad": random.normal(size=600) * scale,
    }
    examples = toys.write_examples(tmp_path / "examples", columns)
    models = {
        name: toys.write_model(tmp_path / name, [name], task=toys.REGRESSION, classes=[], fingerprint=name)
        for name in ("good", "fair", "bad")
    }
    assert evaluate(examples, models["good"]).blessed
    assert not evaluate(examples, models["bad"]).blessed
    assert evaluate(examples, models["good"], models["fair"]).blessed
    worse = evaluate(examples, models["fair"], models["good"])
    assert not worse.blessed
    assert "beyond noise" in worse.reasons


def test_whole_numbers_beyond_doubles_are_numbers(tmp_path, evaluate):
    columns = toys.binary_columns()
    rows = len(columns["y"])
    columns["nanoseconds"] = 1_700_000_000_000_000_000 + np.arange(rows) * 1_000_003
    model = toys.write_model(tmp_path / "model", ["good", "nanoseconds"])
    examples = toys.write_examples(tmp_path / "examples", columns)
    assert evaluate(examples, model).blessed
    cut = evaluate(examples, model, policy="buckets: {nanoseconds: 3}\nslices: [nanoseconds]")
    assert [entry["rows"] for entry in cut.content["slices"]] == [rows // 3] * 3
    labels = {"y": columns["nanoseconds"], "x": columns["nanoseconds"] / 1e9, "carrier": ["UA"] * rows}
    regression = toys.write_model(tmp_path / "regression", ["x"], task=toys.REGRESSION, classes=[])
    judged = evaluate(toys.write_examples(tmp_path / "labels", labels), regression)
    assert judged.content["metrics"]["challenger"]["root_mean_squared_error"] > 1e18


def test_a_model_that_takes_and_serves_doubles_is_fed_and_judged_in_doubles(tmp_path, evaluate):
    class Later(tf.Module):
        @tf.function(autograph=False)
        def serve(self, seconds):
            return {"prediction": seconds + 0.25}

    later, rows = Later(), 500
    spec = tf.TensorSpec([None], tf.float64, name="seconds")
    tf.saved_model.save(
        later, str(tmp_path / "model"), signatures={"serving_default": later.serve.get_concrete_function(seconds=spec)}
    )
    toys.write_manifest(
        tmp_path / "model", {"seconds": "numeric"}, task=toys.REGRESSION, label="y", classes=[], fingerprint="later"
    )
    seconds = 1.79e9 + np.arange(rows)
    examples = toys.write_examples(tmp_path / "examples", {"y": seconds, "seconds": seconds})
    policy = "gates: [{metric: root_mean_squared_error, max: 0.3}]\nbehaviour: [{rises_with: seconds, by: 1}]"
    result = evaluate(examples, tmp_path / "model", policy=policy)
    assert result.blessed, result.reasons
    assert result.content["metrics"]["challenger"]["root_mean_squared_error"] == pytest.approx(0.25)


def test_a_step_that_float32_swallows_proves_nothing(tmp_path, evaluate):
    columns = toys.binary_columns()
    columns["placed"] = 1_790_000_000 + np.arange(len(columns["y"]))
    model = toys.write_model(tmp_path / "model", ["good", "placed"])
    examples = toys.write_examples(tmp_path / "examples", columns)
    for by, holds in ((30, False), (60, False), (3600, True)):
        result = evaluate(examples, model, policy=f"behaviour: [{{rises_with: placed, by: {by}}}]\nworst_slices: 0")
        assert result.blessed is holds, by
        assert holds or ("is lost in" in result.reasons and "128 apart" in result.reasons)


def test_a_bucket_holds_the_rows_between_its_edges_in_doubles():
    values = 1.79e9 + np.arange(100) * 0.5
    column = pa.array(values)
    gathered = slice_columns.Numbers("t", slice_columns.edges_of(values, (values[10], values[50])))
    gathered.add(column)
    found = gathered.column()
    assert np.bincount(found.codes).tolist() == [10, 40, 50]
    assert found.names[:3] == ["below 1790000005", "1790000005 to below 1790000025", "1790000025 or more"]
    apart = 2.0**52 + np.arange(4)
    gathered = slice_columns.Numbers("t", slice_columns.edges_of(apart, (apart[1], apart[2])))
    gathered.add(pa.array(apart))
    assert gathered.column().names[1] == "4503599627370497 to below 4503599627370498"
    assert np.bincount(gathered.column().codes).tolist() == [1, 1, 2]


def test_buckets_that_cannot_be_made_are_said(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    rows = len(columns["y"])
    columns |= {"zeros": np.where(np.arange(rows) % 10 == 0, np.arange(rows), 0), "hours": np.arange(rows) % 12}
    examples = toys.write_examples(tmp_path / "examples", columns)
    policy = "buckets: {zeros: 4, hours: [6, 20, 22]}\nslices: [zeros, hours]"
    result = evaluate(examples, models["good"], policy=policy)
    said = " ".join(result.content["notes"])
    assert "buckets: zeros: 4 were asked for and" in said
    assert "no eval row lies in 20 to below 22, 22 or more" in said
    assert said.split(":")[0] in result.report.read_text(encoding="utf-8")


def test_missing_values_empty_texts_and_the_word_null_are_three_slices(tmp_path, models, evaluate):
    columns = toys.binary_columns(1600)
    columns["origin"] = [[None, "", "null", "EWR"][row % 4] for row in range(1600)]
    result = evaluate(
        toys.write_examples(tmp_path / "examples", columns),
        models["fair"],
        policy="slices: [origin]\ngates: [{metric: auc, slice: origin, min: 0.99}]",
    )
    assert [entry["slice"]["origin"] for entry in result.content["slices"]] == ["", "EWR", "null", None]
    assert [entry["rows"] for entry in result.content["slices"]] == [400] * 4
    assert {"origin ''", "origin null", "origin (missing)"} <= {
        reason.split("(", 1)[1].split("): ")[0] for reason in result.reasons.splitlines() if "auc (origin" in reason
    }


def test_a_slice_without_two_of_each_class_is_undefined_and_not_judged(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    y, carrier = columns["y"].copy(), np.array(columns["carrier"])
    y[carrier == "AA"] = 0
    y[carrier == "B6"] = 0
    y[np.flatnonzero(carrier == "B6")[0]] = 1
    columns["y"] = y
    examples = toys.write_examples(tmp_path / "examples", columns)
    policy = "gates: [{metric: auc, slice: carrier, min: 0.6}, {metric: auc, slice: carrier, max_gap: 0.3}]"
    result = evaluate(examples, models["good"], policy=policy)
    undefined = {entry["slice"]["carrier"]: entry["undefined"].get("auc") for entry in result.content["slices"]}
    assert undefined["UA"] is None
    assert undefined["AA"].startswith("none of")
    assert undefined["AA"].endswith("is of class '1'")
    assert "only 1 of" in undefined["B6"]
    judged = [gate["slice"] for gate in result.content["gates"] if gate["slice"]]
    assert judged == [{"carrier": "UA"}]
    assert any("auc is undefined, and not judged, on 2 slice(s) of carrier" in note for note in result.content["notes"])
    only = columns | {"carrier": ["AA" if name == "UA" else name for name in columns["carrier"]], "y": y}
    only["y"] = np.where(np.array(only["carrier"]) == "B6", y, 0)
    nobody = evaluate(toys.write_examples(tmp_path / "only", only), models["good"], policy=policy)
    assert not nobody.blessed
    assert "undefined, because only 1 of" in nobody.reasons
    assert "undefined on every slice of carrier" in nobody.reasons


def test_bounds_that_a_model_that_knows_nothing_meets_do_not_replace_beating_it(tmp_path, models, evaluate):
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns())
    for gate in ("{metric: auc, min: 0.5}", "{metric: true_positives, min: 2}", "{metric: recall, min: 0.1}"):
        result = evaluate(examples, models["bad"], policy=f"gates: [{gate}]")
        assert not result.blessed
        assert "a random order" in result.reasons
        assert evaluate(examples, models["good"], policy=f"gates: [{gate}]").blessed
    # A bound above what knowing nothing reaches says it all.
    strict = evaluate(examples, models["good"], policy="gates: [{metric: auc, min: 0.8}]")
    assert [gate["kind"] for gate in strict.content["gates"]] == ["bound"]


def test_a_rare_class_is_judged_by_precision_and_recall_too(tmp_path, models, evaluate):
    columns = toys.binary_columns(4000)
    rare = np.random.default_rng(4).random(4000) < 0.05
    keep = (columns["y"] == 0) | rare
    table = {name: np.array(values, object)[keep].tolist() for name, values in columns.items()}
    result = evaluate(toys.write_examples(tmp_path / "examples", table), models["good"])
    assert [gate["metric"] for gate in result.content["gates"]][:3] == ["auc", "auc_precision_recall", "recall"]
    usual = evaluate(toys.write_examples(tmp_path / "usual", columns), models["good"])
    assert [gate["metric"] for gate in usual.content["gates"]] == ["auc"]


def test_an_interval_of_squeezed_scores_tells_models_apart():
    labels, values = binary(rows=20_000)
    model = ModelManifest("binary_classification", "y", ["0", "1"], {"x": "numeric"}, {}, 1, "", "", "", "", {})
    weak = values * 0.3 + np.random.default_rng(8).normal(size=len(values))
    function = noise.without_each(Metric("AUC"), model)
    for strong in (sigmoid(values), sigmoid(values - 14)):
        gap = areas.under_roc(labels == 1, strong) - areas.under_roc(labels == 1, sigmoid(weak))
        interval = noise.interval_of_difference(function, function, gap, labels, strong, sigmoid(weak))
        assert 0 < interval.low < gap < interval.high


def test_slices_say_in_words_what_is_missing_and_what_is_empty():
    assert slices.described({"a": None, "b": "", "c": "null"}) == "a (missing), b '', c null"
    assert slices.described({"a": "(missing)"}) == "a '(missing)'"
