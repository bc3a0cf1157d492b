"""When a canary may go on: pure logic, no server."""

from __future__ import annotations

import numpy as np
import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import judgement, rollouts
from mainspring.components.deployment.judgement import Observed
from mainspring.components.deployment.replay import Replay


@pytest.mark.parametrize(
    "text", ["", "10", "50,10,100", "10,10,100", "-1,100", "0,100,100", "0;100", "ten,100", "nan,100"]
)
def test_steps_that_do_not_rise_to_100_are_refused(text):
    with pytest.raises(UserError, match=r"rollout .*0,10,50,100"):
        rollouts.parse(text)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_impossible_seconds_are_refused(seconds):
    with pytest.raises(UserError, match="rollout_seconds"):
        rollouts.parse("10,100", seconds)


def test_steps_are_read_with_or_without_percent_signs():
    assert rollouts.parse("0, 10%,50 ,100").percents == (0, 10, 50, 100)
    assert rollouts.parse("100").percents == (100,)


def test_more_errors_than_the_champion_by_more_than_the_margin_are_too_many():
    champion = Observed(1000, 20)
    assert judgement.of_traffic(Observed(100, 3), champion) == []
    (reason,) = judgement.of_traffic(Observed(100, 4), champion)
    assert reason == "4 of 100 live requests failed, against 20 of 1000 at the champion"
    assert judgement.of_traffic(Observed(), champion) == []
    assert judgement.of_traffic(Observed(1, 1), Observed()) != []


def test_a_tail_that_is_slower_is_found_once_there_are_enough_requests():
    champion = Observed(100, 0, {0.01: 100})
    slow = Observed(100, 0, {0.01: 90, 0.1: 10})
    (reason,) = judgement.of_traffic(slow, champion)
    assert "95th percentile takes 100 ms, against 10 ms" in reason
    assert judgement.of_traffic(Observed(100, 0, {0.01: 96, 0.1: 4}), champion) == []
    assert judgement.of_traffic(Observed(10, 0, {0.1: 10}), champion) == []


def test_noise_of_milliseconds_is_no_reason():
    assert judgement.of_latency(0.010, 0.001, "a row") == []
    assert judgement.of_latency(0.100, 0.050, "a row") == []
    assert judgement.of_latency(0.200, 0.050, "a row") != []


def test_an_observation_counts_from_an_earlier_one():
    earlier, later = Observed(10, 1, {0.1: 10}), Observed(30, 1, {0.1: 10, 0.2: 20})
    assert later.since(earlier) == Observed(20, 0, {0.1: 0, 0.2: 20})
    assert later.since(earlier).quantile(0.5) == 0.2


@pytest.mark.parametrize(
    ("served", "own", "fit"),
    [
        ([0.5], [0.50001], True),
        ([0.5], [0.51], False),
        ([None], [0.5], False),
        ([0.5, 0.5], [0.5], False),
        ([[0.2, 0.8]], [[0.2, 0.8]], True),
        ([[0.2]], [[0.2, 0.8]], False),
        ([0.2], [[0.2]], False),
        ([float("nan")], [0.5], False),
    ],
)
def test_parity_is_that_every_row_gets_the_prediction_that_it_must_get(served, own, fit):
    assert (judgement.of_parity(Replay([{}] * len(own), own), served) == []) is fit


@pytest.mark.parametrize(
    ("centre", "spread"), [(1.79e9, 40_000.0), (3e-7, 1e-7), (1e-6, 1e-6), (10.0, 5.0), (1e20, 1e18), (0.0, 1e-30)]
)
def test_mirrored_predictions_are_found_at_every_scale_and_float32s_noise_is_not(centre, spread):
    rows = [place / 10 for place in range(-9, 10, 2)]
    own = [float(np.float32(centre + spread * row)) for row in rows]
    noisy = [float(np.nextafter(np.float32(value), np.float32(np.inf))) for value in own]
    mirrored = [centre - spread * row for row in rows]
    replay = Replay([{"x": row} for row in rows], own)
    assert judgement.of_parity(replay, noisy) == []
    (reason,) = judgement.of_parity(replay, mirrored)
    assert reason.startswith("10 of 10 rows are not predicted as in its evaluation")
    several = Replay(replay.rows, [[0.5, value] for value in own])
    assert judgement.of_parity(several, [[0.5, value] for value in noisy]) == []
    assert judgement.of_parity(several, [[0.5, value] for value in mirrored]) != []


def test_predictions_that_are_all_alike_may_differ_by_noise():
    replay = Replay([{}] * 3, [0.3, 0.3, 0.3])
    assert judgement.of_parity(replay, [0.3000001, 0.2999999, 0.3]) == []
    assert judgement.of_parity(replay, [0.301, 0.3, 0.3]) != []


def test_without_a_row_parity_is_not_assumed():
    assert judgement.of_parity(Replay([], []), []) != []
