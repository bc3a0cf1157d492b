"""Metrics and their standard errors against what they are by definition."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pytest

from mainspring.components.monitoring.judging import distances, live_metrics


def measured(name, truth, prediction, chosen=None):
    return measured_by_sample(name, truth, prediction, truth if chosen is None else chosen, np.full(len(truth), ""))[""]


def measured_by_sample(name, truth, prediction, chosen, sample):
    with duckdb.connect() as connection:
        columns = {"truth": truth, "prediction": prediction, "chosen": chosen, "sample": sample.astype(object)}
        connection.register("judged", columns)
        return live_metrics.measure(connection, live_metrics.METRICS[name], value="sample")


def test_auc_is_the_share_of_pairs_in_order_with_ties_counted_half():
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 2, 200).astype(float)
    scores = np.round(chance.random(200), 1)
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    found = measured("auc", labels, scores)
    assert found.value == pytest.approx(np.mean(pairs))


def test_the_standard_error_of_auc_is_that_of_repeated_samples():
    chance = np.random.default_rng(1)

    labels = (chance.random(400 * 500) < 0.3).astype(float)
    samples = np.repeat(np.arange(400).astype(str), 500)
    found = measured_by_sample("auc", labels, chance.normal(labels, 1.0), labels, samples).values()
    assert len(found) == 400
    assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.error for one in found]), rel=0.15)


def test_auc_of_one_class_is_not_defined():
    assert math.isnan(measured("auc", np.ones(5), np.ones(5)).value)


def test_the_root_mean_squared_error_and_its_error():
    chance = np.random.default_rng(2)
    truth, samples = np.zeros(300 * 2000), np.repeat(np.arange(300).astype(str), 2000)
    by_sample = measured_by_sample("root_mean_squared_error", truth, chance.normal(0, 3, 300 * 2000), truth, samples)
    found = list(by_sample.values())
    assert found[0].value == pytest.approx(3, abs=0.2)
    assert np.std([one.value for one in found]) == pytest.approx(found[0].error, rel=0.2)


def test_the_error_of_auc_is_delongs_for_tied_predictions_too():
    chance = np.random.default_rng(3)
    labels = chance.integers(0, 2, 300).astype(float)
    scores = np.round(chance.random(300) + labels / 4, 1)
    above = (scores[labels == 1][:, None] > scores[labels == 0]) + (
        scores[labels == 1][:, None] == scores[labels == 0]
    ) / 2
    variance = above.mean(1).var() / len(above) + above.mean(0).var() / above.shape[1]
    assert measured("auc", labels, scores).error == pytest.approx(math.sqrt(variance))


def test_the_other_metrics_are_what_they_are_by_definition():
    chance = np.random.default_rng(4)
    truth, scores = chance.integers(0, 2, 100).astype(float), np.append(chance.random(98), [0.0, 1.0])
    picked = np.where(chance.random(100) < 0.7, truth, np.nan)
    clipped = np.clip(scores, live_metrics.CLIPPED, 1 - live_metrics.CLIPPED)
    expected = {
        # The class that was served counts, whatever its threshold; one half where the response names none.
        "binary_accuracy": np.where(np.isnan(picked), (scores > 0.5) == truth, picked == truth),
        "binary_crossentropy": -np.log(np.where(truth == 1, clipped, 1 - clipped)),
        "sparse_categorical_accuracy": picked == truth,
        "mean_squared_error": (truth - scores) ** 2,
        "mean_absolute_error": abs(truth - scores),
    }
    for name, parts in expected.items():
        found = measured(name, truth, scores, picked)
        assert found.rows == 100
        assert found.value == pytest.approx(np.mean(parts))
        assert found.error == pytest.approx(np.std(parts) / 10)


def test_equal_histograms_are_0_bits_apart_and_disjoint_ones_1():
    assert distances.divergence([5, 5, 0], [50, 50, 0]) == 0
    assert distances.divergence([1, 0], [0, 9]) == 1


@pytest.mark.parametrize("values", [[0.5] * 9, [7.0], [1e9, -1e9, 3.0], []])
def test_histograms_of_odd_predictions_count_them_all(values):
    found = distances.histogram(np.array(values, float), None)
    assert sum(found.counts) == len(values)
    again = distances.histogram(np.array([-1e12, 1e12]), found.edges)
    assert sum(again.counts) == 2
