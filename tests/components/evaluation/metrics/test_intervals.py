"""Intervals by the fast way and by leaving out rows for real: the same numbers."""

import numpy as np
import pytest
import toys

from mainspring.components.common.manifests import ModelManifest
from mainspring.components.evaluation.metrics import measuring, noise, ranking_queries, replicates
from mainspring.components.evaluation.policy.policy import Metric

ROWS = 400


def manifest(task, classes=()):
    return ModelManifest(task, "y", list(classes), {"x": "numeric"}, {}, 1, "", "", "", "", {}, query="q")


def rows_of(task):
    """Returns labels and predictions of a middling model."""
    random = np.random.default_rng(3)
    if task == toys.BINARY:
        labels = random.integers(0, 2, ROWS).astype(np.int8)
        return labels, (0.25 + 0.3 * labels + 0.2 * random.random(ROWS)).astype(np.float32)
    if task == toys.MULTICLASS:
        labels = random.integers(0, 3, ROWS).astype(np.int8)
        scores = np.exp(random.normal(size=(ROWS, 3)) + np.eye(3)[labels])
        return labels, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    if task == toys.MULTILABEL:
        labels = random.integers(0, 2, (ROWS, 3)).astype(np.int8)
        return labels, (0.2 + 0.3 * labels + 0.3 * random.random((ROWS, 3))).astype(np.float32)
    labels = random.gamma(2, 10, ROWS)
    return labels, (labels + random.normal(size=ROWS)).astype(np.float32)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (toys.BINARY, ["AUC", "BinaryAccuracy", "BinaryCrossentropy"]),
        (toys.MULTICLASS, ["AUC", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"]),
        (toys.MULTILABEL, ["AUC", "BinaryAccuracy", "BinaryCrossentropy"]),
        (toys.REGRESSION, ["MeanAbsoluteError", "MeanSquaredError", "RootMeanSquaredError"]),
    ],
)
def test_sums_without_a_group_are_what_leaving_it_out_gives(task, names):
    labels, predictions = rows_of(task)
    model = manifest(task, ["a", "b", "c"][: 2 if task == toys.BINARY else 3])
    for name in names:
        metric = Metric(name)
        measure = measuring.measure_with([metric], model)
        left_out = [
            measure(labels[rows], predictions[rows])[metric.name] for rows in replicates.kept_rows(labels, predictions)
        ]
        fast = replicates.without_each(metric)
        assert fast is not None
        np.testing.assert_allclose(fast(labels, predictions), left_out, rtol=2e-6)


def test_a_query_is_left_out_whole():
    random = np.random.default_rng(4)
    labels = np.column_stack([random.integers(0, 3, ROWS), random.integers(0, 80, ROWS)]).astype(np.float64)
    predictions = random.random(ROWS).astype(np.float32)
    for kept in replicates.kept_rows(labels, predictions):
        assert not set(labels[kept, 1]) & set(labels[~kept, 1])
    whole = measuring.measure_with([Metric("NDCG")], manifest(toys.RANKING))(labels, predictions)
    told = noise.intervals_with([Metric("NDCG")], manifest(toys.RANKING))(labels, predictions, whole)
    assert told["ndcg"].low < whole["ndcg"] < told["ndcg"].high
    few = labels[:, 1] < 30  # Rows enough, queries too few.
    assert noise.intervals_with([Metric("NDCG")], manifest(toys.RANKING))(labels[few], predictions[few], whole) == {}


def test_a_random_order_gains_what_it_is_said_to_gain():
    random = np.random.default_rng(5)
    labels = np.column_stack([random.integers(0, 4, ROWS), random.integers(0, 60, ROWS)]).astype(np.float64)
    gains = [
        np.nanmean(ranking_queries.normalised_gains(labels, random.random(ROWS).astype(np.float32), 5))
        for _ in range(400)
    ]
    assert np.mean(gains) == pytest.approx(ranking_queries.gains_in_random_order(labels, 5), abs=0.005)
