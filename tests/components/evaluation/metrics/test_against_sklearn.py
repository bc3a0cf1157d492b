"""scikit-learn as a second oracle: what a metric's name means to others, computed by others."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import toys
from sklearn import linear_model
from sklearn import metrics as sklearn_metrics

from mainspring.components.common.manifests import ModelManifest
from mainspring.components.evaluation.metrics import measuring
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.scoring import linear_baseline

ROWS = 3000


def measured(task, names, labels, predictions, classes=()):
    model = ModelManifest(task, "y", list(classes), {"x": "numeric"}, {}, 1, "", "", "", "", {}, query="q")
    return measuring.measure_with([Metric(name) for name in names], model)(labels, predictions)


def test_binary_metrics_are_sklearns():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, ROWS)
    scores = np.clip(0.5 + 0.2 * (labels - 0.5) + 0.15 * random.normal(size=ROWS), 0.001, 0.999).astype(np.float32)
    names = ["AUC", "BinaryAccuracy", "BinaryCrossentropy", "Precision", "Recall", "MatthewsCorrelationCoefficient"]
    found = measured(toys.BINARY, names, labels.astype(np.int8), scores, ["0", "1"])
    taken = scores > 0.5
    assert found["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-9)
    assert found["binary_accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, taken), rel=1e-6)
    assert found["binary_crossentropy"] == pytest.approx(
        sklearn_metrics.log_loss(labels, scores.astype(float)), rel=1e-5
    )
    assert found["precision"] == pytest.approx(sklearn_metrics.precision_score(labels, taken), rel=1e-6)
    assert found["recall"] == pytest.approx(sklearn_metrics.recall_score(labels, taken), rel=1e-6)
    expected = sklearn_metrics.matthews_corrcoef(labels, taken)
    assert found["matthews_correlation_coefficient"] == pytest.approx(expected, rel=1e-6)


def test_multiclass_and_multilabel_metrics_are_sklearns():
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, ROWS)
    scores = np.exp(random.normal(size=(ROWS, 3)) + np.eye(3)[labels])
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    names = ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "AUC"]
    found = measured(toys.MULTICLASS, names, labels.astype(np.int8), scores, "abc")
    assert found["sparse_categorical_accuracy"] == pytest.approx((scores.argmax(axis=1) == labels).mean(), rel=1e-6)
    assert found["sparse_categorical_crossentropy"] == pytest.approx(sklearn_metrics.log_loss(labels, scores), rel=1e-5)
    of_classes = sklearn_metrics.roc_auc_score(np.eye(3)[labels], scores, average="macro")
    assert found["auc"] == pytest.approx(of_classes, abs=1e-9)
    several = random.integers(0, 2, (ROWS, 3))
    likely = np.clip(0.5 + 0.2 * (several - 0.5) + 0.2 * random.normal(size=(ROWS, 3)), 0.01, 0.99).astype(np.float32)
    found = measured(toys.MULTILABEL, ["AUC", "Precision"], several.astype(np.int8), likely, "abc")
    assert found["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(several, likely, average="macro"), abs=1e-9)
    precision = sklearn_metrics.precision_score(several, likely > 0.5, average="macro")
    assert found["precision"] == pytest.approx(precision, rel=1e-6)


def test_regression_and_ranking_metrics_are_sklearns():
    random = np.random.default_rng(3)
    labels = random.gamma(2, 10, ROWS)
    scores = (labels + random.normal(size=ROWS)).astype(np.float32)
    found = measured(toys.REGRESSION, ["MeanSquaredError", "MeanAbsoluteError"], labels, scores)
    assert found["mean_squared_error"] == pytest.approx(sklearn_metrics.mean_squared_error(labels, scores), rel=1e-5)
    assert found["mean_absolute_error"] == pytest.approx(sklearn_metrics.mean_absolute_error(labels, scores), rel=1e-5)
    relevance, order = random.integers(0, 4, (150, 20)).astype(float), random.normal(size=(150, 20))
    ranked = np.column_stack([relevance.ravel(), np.repeat(np.arange(150), 20)])
    found = measured(toys.RANKING, ["NDCG"], ranked, order.ravel().astype(np.float32))
    assert found["ndcg"] == pytest.approx(sklearn_metrics.ndcg_score(relevance, order, k=10), rel=1e-5)


def test_the_linear_model_is_sklearns(tmp_path):
    random = np.random.default_rng(4)
    x = random.normal(size=ROWS)
    y = (random.random(ROWS) < 1 / (1 + np.exp(-(0.5 + 1.2 * x)))).astype(int)
    examples = toys.write_examples(
        tmp_path / "examples", {"x": x, "y": y, "value": 3 * x + 100 + random.normal(size=ROWS)}
    )
    (batch,) = pq.read_table(examples / "train" / "1.parquet").to_batches()
    binary = ModelManifest(toys.BINARY, "y", ["0", "1"], {"x": "numeric"}, {}, 1, "", "", "", "", {})
    theirs = linear_model.LogisticRegression().fit(x[:, None], y).predict_proba(x[:, None])[:, 1]
    np.testing.assert_allclose(linear_baseline.fit(examples / "train", binary)(batch), theirs, atol=2e-3)
    value = ModelManifest(toys.REGRESSION, "value", [], {"x": "numeric"}, {}, 1, "", "", "", "", {})
    theirs = linear_model.LinearRegression().fit(x[:, None], batch["value"].to_numpy()).predict(x[:, None])
    np.testing.assert_allclose(linear_baseline.fit(examples / "train", value)(batch), theirs, atol=0.02)
