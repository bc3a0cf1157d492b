"""The class that a model names follows its own threshold, in whatever is measured, drawn, written and judged of it."""

import dataclasses
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import toys
from sklearn import metrics as sklearn_metrics

from mainspring.components.common.manifests import ModelManifest
from mainspring.components.evaluation.metrics import measuring, noise
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.predict_batch import predict_batch

POLICY = """
metrics: [AUC, Precision, Recall, F1Score, BinaryAccuracy, {Recall: {thresholds: 0.9, name: sure}}]
gates:
- {metric: f1_score, max_loss: 0.01, slice: carrier}
- {metric: binary_accuracy, max_loss: 0.01}
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return toys.write_examples(tmp_path_factory.mktemp("examples") / "artifact", toys.binary_columns())


@pytest.fixture(scope="module")
def with_threshold(tmp_path_factory, models):
    """Returns a function that copies a model and gives it a threshold."""

    def copy(name, threshold):
        folder = tmp_path_factory.mktemp("threshold") / "model"
        shutil.copytree(models[name], folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest |= {"threshold": threshold, "threshold_by": "given", "fingerprint": f"sha256:{name}{threshold}"}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return copy


def _table(examples):
    return {name: column.to_numpy() for name, column in _columns(examples).items()}


def _columns(examples):
    table = pq.read_table(examples / "eval")
    return {name: table[name] for name in ("y", "good", "fair")}


def test_each_model_is_measured_at_its_own_threshold(examples, with_threshold, evaluate):
    result = evaluate(examples, with_threshold("good", 0.25), champion=with_threshold("fair", 0.75), policy=POLICY)
    table = _table(examples)
    for role, name, threshold in (("challenger", "good", 0.25), ("champion", "fair", 0.75)):
        named = table[name].astype(np.float32) >= threshold
        measured = result.content["metrics"][role]
        wanted = {
            "precision": sklearn_metrics.precision_score(table["y"], named),
            "recall": sklearn_metrics.recall_score(table["y"], named),
            "f1_score": sklearn_metrics.f1_score(table["y"], named),
            "binary_accuracy": sklearn_metrics.accuracy_score(table["y"], named),
            "auc": sklearn_metrics.roc_auc_score(table["y"], table[name].astype(np.float32)),
            "sure": sklearn_metrics.recall_score(table["y"], table[name] > 0.9),
        }
        assert measured == pytest.approx(wanted, abs=1e-6)
    assert result.content["thresholds"] == {"challenger": 0.25, "champion": 0.75}
    named = table["good"].astype(np.float32) >= 0.25
    assert result.content["confusion_matrix"]["matrix"] == sklearn_metrics.confusion_matrix(table["y"], named).tolist()
    page = result.report.read_text()
    assert "Threshold of the challenger" in page
    card = json.loads((result.folder / "model_card.json").read_text())
    assert card["model_parameters"]["threshold"] == "1 from a probability of 0.25 on (given)"
    assert all(gate["interval"] for gate in result.content["gates"] if gate["kind"] == "loss")


def test_intervals_are_of_what_is_measured(examples):
    table = _table(examples)
    model = ModelManifest("binary_classification", "y", ["0", "1"], {"x": "numeric"}, {}, 1, "", "", "", "", {})
    at = dataclasses.replace(model, threshold=0.25)
    for metric in (Metric("BinaryAccuracy"), Metric("Recall")):
        scores = table["good"].astype(np.float32)
        value = measuring.measure_with([metric], at)(table["y"], scores)[metric.name]
        without = noise.without_each(metric, at)(table["y"], scores)
        assert without.mean() == pytest.approx(value, abs=2e-3)
        assert abs(noise.without_each(metric, model)(table["y"], scores).mean() - value) > 5e-3


def test_a_row_at_the_threshold_is_positive_in_batch_predictions(tmp_path, examples, with_threshold):
    table = _table(examples)
    border = float(np.float32(np.sort(table["good"])[300]))
    predict_batch(str(with_threshold("good", border)), str(tmp_path / "out"), str(examples), split="eval")
    found = pq.read_table(tmp_path / "out" / "eval")
    named = np.array(found["predicted_class"].to_pylist()) == "1"
    np.testing.assert_array_equal(named, found["prediction"].to_numpy() >= np.float32(border))
    assert named.sum() == len(named) - 300


def test_a_model_that_names_no_row_of_a_rare_class_is_not_blessed(tmp_path, with_threshold, evaluate):
    columns = toys.binary_columns(6000)
    keep = (columns["y"] == 0) | (np.random.default_rng(4).random(6000) < 0.04)
    table = {name: np.array(values, object)[keep].tolist() for name, values in columns.items()}
    rare = toys.write_examples(tmp_path / "examples", table)
    refused = evaluate(rare, with_threshold("good", 0.9999))
    assert not refused.blessed
    assert "recall (overall): asked better than 0, what a model that names no row positive finds" in refused.reasons
    assert evaluate(rare, with_threshold("good", 0.3)).blessed
