"""TFMA's own `analyze_raw_data` (Beam and all) is the oracle: the same numbers, overall and in every slice."""

import copy

import numpy as np
import pandas as pd
import pytest
import tensorflow_model_analysis as tfma
import toys
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from mainspring.components.common.manifests import ModelManifest
from mainspring.components.evaluation.metrics import accumulators, measuring, ranking_queries
from mainspring.components.evaluation.policy import metric_catalogue, policy
from mainspring.components.evaluation.slices import slice_columns, slices

ROWS = 300

TFMAS_OWN = {"auc": 1e-3, "auc_precision_recall": 0.03, "binary_crossentropy": 1e-4}
"""Where ours are exact, how far TFMA's are off on these rows: buckets, another interpolation, float32."""

NEEDS_SETTINGS = {
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtFalsePositiveRate": {"false_positive_rate": 0.2},
    "RecallAtPrecision": {"precision": 0.6},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "ThresholdAtRecall": {"recall": 0.5},
}


def manifest(task, classes, query=""):
    features = {"score": "numeric"}
    return ModelManifest(task, "label", list(classes), features, {}, 1, "", "", "", "sha256:1", {}, query=query)


def every_metric(task):
    return [
        policy.Metric(name, NEEDS_SETTINGS.get(name, {}))
        for name, metric in metric_catalogue.METRICS.items()
        if task in metric.tasks
    ]


def oracle(metrics, model, labels, predictions, carrier, **more):
    """Returns TFMA's values by slice value (None: overall) and metric."""
    wanted = policy.Policy(tuple(metrics), (("carrier",),), 1, ())
    config = copy.deepcopy(measuring.eval_config(wanted, model, [""]))
    frame = pd.DataFrame({"label": list(labels), "prediction": list(predictions), "carrier": carrier} | more)
    result = tfma.analyze_raw_data(frame, config)
    found = {}
    for key, by_output in result.slicing_metrics:
        found[dict(key).get("carrier")] = {
            # An average over classes is called `macro_average: true\n_auc` there.
            name.rpartition("\n")[2].removeprefix("_"): float(value["doubleValue"])
            for of_places in by_output[""].values()  # NDCG's number of places is a key of its own.
            for name, value in of_places.items()
        }
    return found


def ours(metrics, model, labels, predictions, carrier):
    import pyarrow as pa

    measure = measuring.measure_with(metrics, model)
    gathered = slice_columns.Values()
    gathered.add(pa.array(carrier))
    parts, _ = slices.slices_of({"carrier": gathered.column()}, ["carrier"], 1)
    chosen = {part.values["carrier"]: part.indices for part in parts}
    if model.task == toys.RANKING:
        chosen = {carrier: ranking_queries.whole(indices, labels) for carrier, indices in chosen.items()}
    return {None: measure(labels, predictions)} | {
        carrier: measure(labels[indices], predictions[indices]) for carrier, indices in chosen.items()
    }


def assert_equal(measured, expected):
    assert measured.keys() == expected.keys()
    compared = 0
    for place, values in measured.items():
        for name, value in values.items():
            assert name in expected[place]
            within = {"rel": 1e-6, "abs": TFMAS_OWN.get(name, 1e-9)}
            assert value == pytest.approx(expected[place][name], nan_ok=True, **within), (place, name)
            compared += np.isfinite(value)
    assert compared > len(measured)


def test_every_binary_metric_equals_tfmas_overall_and_by_slice():
    columns = toys.binary_columns(ROWS)
    predictions = columns["fair"].astype(np.float32)
    # The histogram's own corners: exact bounds and a value on a threshold.
    predictions[:4] = [0.0, 1.0, 0.5, 0.0001]
    model = manifest(toys.BINARY, ["0", "1"])
    labels, metrics = columns["y"].astype(np.float64), every_metric(toys.BINARY)
    expected = oracle(metrics, model, labels, predictions, columns["carrier"])
    assert_equal(ours(metrics, model, labels, predictions, columns["carrier"]), expected)


def test_every_multiclass_metric_equals_tfmas_overall_and_by_slice():
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, ROWS)
    logits = random.normal(size=(ROWS, 3)) + np.eye(3)[labels]
    predictions = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    carrier = [["UA", "AA"][i] for i in random.integers(0, 2, ROWS)]
    model, metrics = manifest(toys.MULTICLASS, "abc"), every_metric(toys.MULTICLASS)
    expected = oracle(metrics, model, labels, predictions, carrier)
    assert_equal(ours(metrics, model, labels.astype(np.float64), predictions, carrier), expected)


def test_every_regression_metric_equals_tfmas_overall_and_by_slice():
    random = np.random.default_rng(4)
    labels = random.gamma(2.0, 10.0, ROWS)
    predictions = (labels + random.normal(size=ROWS)).clip(0.1).astype(np.float32)
    labels[:3] = 0.0  # Percentage errors leave these out.
    carrier = [["UA", "AA"][i] for i in random.integers(0, 2, ROWS)]
    model, metrics = manifest(toys.REGRESSION, []), every_metric(toys.REGRESSION)
    expected = oracle(metrics, model, labels, predictions, carrier)
    assert_equal(ours(metrics, model, labels, predictions, carrier), expected)


def test_every_multilabel_metric_equals_tfmas_overall_and_by_slice():
    random = np.random.default_rng(8)
    labels = random.integers(0, 2, (ROWS, 3))
    predictions = (1 / (1 + np.exp(-(random.normal(size=(ROWS, 3)) + 2 * labels - 1)))).astype(np.float32)
    carrier = [["UA", "AA"][i] for i in random.integers(0, 2, ROWS)]
    model, metrics = manifest(toys.MULTILABEL, "abc"), every_metric(toys.MULTILABEL)
    expected = oracle(metrics, model, labels.astype(np.float64), predictions, carrier)
    assert_equal(ours(metrics, model, labels.astype(np.int8), predictions, carrier), expected)


def test_every_ranking_metric_equals_tfmas_overall_and_by_slice():
    random = np.random.default_rng(9)
    query, relevance = random.integers(0, 30, ROWS), random.integers(0, 4, ROWS).astype(np.float64)
    relevance[query == 7] = 0  # TFMA leaves out queries without a relevant row.
    predictions = (relevance + random.normal(size=ROWS)).astype(np.float32)
    carrier = [["UA", "AA"][i] for i in random.integers(0, 2, ROWS)]
    model = manifest(toys.RANKING, [], "search")
    metrics = [
        # TFMA counts a slice's own rows, and judges its queries whole.
        *(metric for metric in every_metric(toys.RANKING) if metric.class_name != "ExampleCount"),
        policy.Metric("NDCG", {"top_k_list": [3], "name": "ndcg_at_3"}),
    ]
    expected = oracle(metrics, model, relevance, predictions, carrier, search=query.astype(str))
    assert_equal(ours(metrics, model, np.column_stack([relevance, query]), predictions, carrier), expected)


def test_sums_grown_over_several_chunks_are_the_same(monkeypatch):
    columns = toys.binary_columns(ROWS)
    labels, predictions = columns["y"].astype(np.float64), columns["fair"].astype(np.float32)
    measure = measuring.measure_with(every_metric(toys.BINARY), manifest(toys.BINARY, ["0", "1"]))
    whole = measure(labels, predictions)
    monkeypatch.setattr(accumulators, "CHUNK_ROWS", 64)
    assert measure(labels, predictions) == pytest.approx(whole, rel=1e-9, nan_ok=True)


def test_a_combiner_that_is_not_vectorised_gives_the_same_by_rows():
    columns = toys.binary_columns(ROWS)
    labels, predictions = columns["y"].astype(np.float64), columns["fair"].astype(np.float32)
    config = config_pb2.EvalConfig(model_specs=[config_pb2.ModelSpec(label_key="label")])
    spec = measuring.metrics_specs([policy.Metric("AUC"), policy.Metric("MeanSquaredError")], manifest("", []))
    for computation in tfma.metrics.metric_specs.to_computations(spec, eval_config=config):
        if isinstance(computation, metric_types.MetricComputation):
            combiner, key = computation.combiner, computation.keys[0]
            whole = accumulators.fill(combiner, key, labels, predictions)
            by_rows = accumulators.row_by_row(combiner, labels, predictions)
            assert whole == by_rows or vars(whole) == pytest.approx(vars(by_rows))


def test_the_catalogue_names_only_what_tfma_or_keras_have():
    registered = set(metric_types.registered_metrics())
    assert set(metric_catalogue.METRICS) <= registered | set(dir(tf_keras.metrics))
    # Every metric of TFMA's can be asked for by name, or is none of a model's scores on labelled rows.
    assert registered == (set(metric_catalogue.METRICS) & registered) | metric_catalogue.NO_NUMBER_OF_ROWS_AND_SCORES


def test_the_default_metrics_and_the_main_metric_suit_their_tasks():
    for task, names in metric_catalogue.DEFAULT_METRICS.items():
        assert metric_catalogue.MAIN_METRIC[task] in names
        assert all(task in metric_catalogue.METRICS[name].tasks for name in names)
