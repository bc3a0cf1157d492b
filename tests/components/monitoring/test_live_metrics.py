"""Metrics and their standard errors against what they are by definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mainspring.components.monitoring import distances, live_metrics


def test_auc_is_the_share_of_pairs_in_order_with_ties_counted_half():
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 2, 200).astype(float)
    scores = np.round(chance.random(200), 1)
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    found = live_metrics.auc(labels, scores, labels)
    assert found.value == pytest.approx(np.mean(pairs))


def test_the_standard_error_of_auc_is_that_of_repeated_samples():
    chance = np.random.default_rng(1)

    def sample():
        labels = (chance.random(500) < 0.3).astype(float)
        return live_metrics.auc(labels, chance.normal(labels, 1.0), labels)

    found = [sample() for _ in range(400)]
    assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.error for one in found]), rel=0.15)


def test_auc_of_one_class_is_not_defined():
    assert math.isnan(live_metrics.auc(np.ones(5), np.ones(5), np.ones(5)).value)


def test_the_root_mean_squared_error_and_its_error():
    chance = np.random.default_rng(2)
    truth = np.zeros(2000)
    measure = live_metrics.METRICS["root_mean_squared_error"].measure
    found = [measure(truth, chance.normal(0, 3, 2000), truth) for _ in range(300)]
    assert found[0].value == pytest.approx(3, abs=0.2)
    assert np.std([one.value for one in found]) == pytest.approx(found[0].error, rel=0.2)


def test_equal_histograms_are_0_bits_apart_and_disjoint_ones_1():
    assert distances.divergence([5, 5, 0], [50, 50, 0]) == 0
    assert distances.divergence([1, 0], [0, 9]) == 1


@pytest.mark.parametrize("values", [[0.5] * 9, [7.0], [1e9, -1e9, 3.0], []])
def test_histograms_of_odd_predictions_count_them_all(values):
    found = distances.histogram(np.array(values, float), None)
    assert sum(found.counts) == len(values)
    again = distances.histogram(np.array([-1e12, 1e12]), found.edges)
    assert sum(again.counts) == 2
