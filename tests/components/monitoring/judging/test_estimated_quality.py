"""Quality without labels: right where scores are calibrated, and worth nothing once labels contradict it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from logs import exchange, write, write_labels

from mainspring.components.monitoring import policy
from mainspring.components.monitoring.judging import estimated_quality
from mainspring.components.monitoring.judging.quality import Baseline
from mainspring.components.monitoring.monitor_endpoint import monitor_endpoint

ROWS, WINDOWS = 2000, 120


def truth(metric, labels, scores):
    if metric == "binary_accuracy":
        return np.mean((scores > 0.5) == labels)
    if metric == "binary_crossentropy":
        return -np.mean(np.where(labels, np.log(scores), np.log(1 - scores)))
    ranks = np.argsort(np.argsort(scores)) + 1
    positives = labels.sum()
    return (ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))


@pytest.mark.parametrize("metric", ["auc", "binary_accuracy", "binary_crossentropy"])
def test_estimates_of_calibrated_scores_differ_from_the_truth_by_the_error_that_is_said(metric):
    chance, beyond = np.random.default_rng(7), []
    for _ in range(WINDOWS):
        scores = chance.beta(2, 3, ROWS)
        found = estimated_quality.estimate("binary_classification", metric, scores)
        live = truth(metric, chance.random(ROWS) < scores, scores)
        beyond.append((live - found.value) / found.error)
    assert abs(np.mean(beyond)) < 0.25
    assert np.std(beyond) == pytest.approx(1, abs=0.2)


def test_of_several_classes_accuracy_is_the_mean_of_the_chosen_ones_scores():
    found = estimated_quality.estimate("multiclass_classification", "sparse_categorical_accuracy", np.full(100, 0.8))
    assert (found.value, found.error) == (pytest.approx(0.8), pytest.approx(0.04))


@pytest.mark.parametrize("scores", [[], [1.5, 0.2], [-3.0]])
def test_what_is_no_probability_gives_no_estimate(scores):
    assert estimated_quality.estimate("binary_classification", "auc", np.array(scores, float)) is None
    assert estimated_quality.estimate("regression", "root_mean_squared_error", np.array([0.5])) is None
    assert "cannot be estimated" in estimated_quality.cannot("regression", "mean_absolute_error").sentence


def window(estimated, live):
    quality = {"metric": "auc", "judged": True, "overall": {"live": live, "error": 0.005}}
    return {"estimate": {"metric": "auc", "value": estimated, "error": 0.005}, "quality": quality}


@pytest.mark.parametrize(
    ("earlier", "labelled", "alarm", "words"),
    [
        ([], False, False, "no labelled window has shown"),
        ([window(0.8, 0.81)], False, True, "evaluation promised 0.8000"),
        ([window(0.8, 0.81)], True, False, "evaluation promised 0.8000"),
        ([window(0.8, 0.81), window(0.8, 0.6)], False, False, "counts for nothing"),
    ],
)
def test_an_estimate_counts_only_where_labels_have_shown_that_it_holds(earlier, labelled, alarm, words):
    found = estimated_quality.Estimate("auc", 5000, 0.7, 0.005)
    finding = estimated_quality.judge(found, Baseline(0.8, 0.005), policy.parse(""), earlier, labelled)
    assert (finding.alarm, words in finding.sentence) == (alarm, True)


def test_a_window_without_labels_is_judged_by_its_scores_once_a_labelled_one_has_confirmed_them(version, tmp_path):
    labels = str(write_labels(tmp_path / "labels.parquet", range(2000)))
    common = {"version_uri": str(version), "journal": str(tmp_path / "journal"), "report": str(tmp_path / "r.html")}
    asked = {"labels": labels, "policy": "limits: {max_prediction_drift: 1}"}

    def judge(numbers, day, score=None):
        records = [one for n in numbers for one in exchange(n, score=None if score is None else score(n))]
        logs = str(write(tmp_path / str(day), "a.json", records))
        verdict = monitor_endpoint(
            logs, monitoring=str(tmp_path / f"m{day}"), as_of=f"2026-11-{day:02}", **common, **asked
        )
        return verdict, json.loads((tmp_path / f"m{day}" / "monitoring.json").read_text())

    verdict, found = judge(range(2000), 1)
    assert verdict.healthy, verdict.reasons
    assert found["estimate"]["value"] == pytest.approx(found["quality"]["overall"]["live"], abs=0.03)
    verdict, found = judge(range(5000, 6000), 2, lambda n: 0.5 + n % 7 / 100)
    assert "auc is estimated at 0.5" in verdict.reasons
    assert {one["kind"] for one in found["findings"] if one["alarm"]} == {"estimated_quality"}
