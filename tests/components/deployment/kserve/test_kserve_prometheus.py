"""Live requests of a canary, judged by what a Prometheus says over its HTTP API."""

from __future__ import annotations

import json
import socket

import prometheus_api
import pytest
from kserve_cluster import deploy, is_serving

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import durations
from mainspring.components.deployment.kserve import prometheus as client
from mainspring.components.deployment.rollouts import RolloutFailed

QUERIES = {
    "error_query": 'sum(errors{namespace="{namespace}",pod=~"{predictor}"})',
    "latency_query": 'sum(seconds{namespace="{namespace}",pod=~"{predictor}"})',
}


@pytest.fixture
def mode() -> str:
    """Only there does a version that is tried get live requests."""
    return "Knative"


@pytest.fixture
def prometheus(cluster):
    """Beside the cluster; both versions do well until a test says otherwise."""
    with prometheus_api.running() as running:
        running.values = {
            f"{metric} {part}": value
            for part in ("flights-v", "flights-predictor")
            for metric, value in (("errors", "0.001"), ("seconds", "0.02"))
        }
        yield running


def canary_has(prometheus, cluster, **values) -> None:
    part = "flights-v2" if cluster.mode == "Standard" else "flights-predictor-00002"
    prometheus.values |= {f"{metric} {part}": value for metric, value in values.items()}


def test_a_canary_that_does_well_is_promoted_and_both_versions_were_asked_for_at_each_step(
    cluster, version, prometheus
):
    deploy(version(1))
    deploy(version(2), prometheus=prometheus.url, **QUERIES)
    assert is_serving(cluster, version(2))
    names = ("v1-predictor", "v2-predictor") if cluster.mode == "Standard" else ("predictor-00001", "predictor-00002")
    for name in names:
        assert sum(name in query for query in prometheus.asked) == 4, "two queries at 10 % and at 50 %"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"errors": "0.05"}, "at 10 % of the traffic: 5.0% of live requests fail, against 0.1% at the champion"),
        ({"errors": "+Inf"}, "at 10 % of the traffic: inf% of live requests fail"),
        ({"seconds": "0.5"}, "at 10 % of the traffic: a live request takes 500 ms, against 20 ms at the champion"),
    ],
)
def test_a_canary_that_does_worse_than_the_champion_is_taken_back(cluster, version, prometheus, values, says):
    deploy(version(1))
    canary_has(prometheus, cluster, **values)
    with pytest.raises(RolloutFailed, match=says.replace("+", r"\+")):
        deploy(version(2), prometheus=prometheus.url, **QUERIES)
    assert is_serving(cluster, version(1))


@pytest.mark.parametrize("value", ["NaN", None])
def test_a_canary_without_live_requests_is_judged_by_the_rest(cluster, version, prometheus, value):
    deploy(version(1))
    canary_has(prometheus, cluster, errors=value, seconds=value)
    deploy(version(2), prometheus=prometheus.url, **QUERIES)
    assert is_serving(cluster, version(2))


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_a_query_that_matches_neither_version_judges_nothing_and_is_no_reason_to_go_on(cluster, version, prometheus):
    deploy(version(1))
    prometheus.values = {}
    with pytest.raises(RolloutFailed, match="error_query: Prometheus has no series of either version"):
        deploy(version(2), prometheus=prometheus.url, **QUERIES)
    assert is_serving(cluster, version(1))


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (500, "internal", "500: internal"),
        (503, json.dumps({"status": "error", "errorType": "unavailable", "error": "not ready"}), "503: not ready"),
        (422, json.dumps({"status": "error", "errorType": "execution", "error": "timed out"}), "422: timed out"),
        (200, "<html>", "does not answer as it should"),
        (200, json.dumps({"status": "success", "data": {}}), "does not answer as it should"),
        (200, "[]", "does not answer as it should"),
    ],
)
@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_a_prometheus_that_cannot_tell_is_no_reason_to_go_on(cluster, version, prometheus, status, text, says):
    deploy(version(1))
    prometheus.answers = [(status, text)] * 10
    with pytest.raises(RolloutFailed, match=rf"at 10 % of the traffic: error_query: Prometheus at .*{says}") as error:
        deploy(version(2), prometheus=prometheus.url, **QUERIES)
    assert "\n" not in str(error.value)
    assert is_serving(cluster, version(1))


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_a_prometheus_that_is_down_takes_the_canary_back_and_one_that_fails_once_does_not(cluster, version, prometheus):
    deploy(version(1))
    prometheus.answers = [(503, "starting")]
    deploy(version(2), prometheus=prometheus.url, **QUERIES)
    assert is_serving(cluster, version(2))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RolloutFailed, match=r"error_query: Prometheus at .* does not answer as it should"):
        deploy(version(3), prometheus=f"http://127.0.0.1:{port}", **QUERIES)
    assert is_serving(cluster, version(2))


def test_what_a_query_gives_must_be_one_number(monkeypatch):
    monkeypatch.setattr(durations, "PROMETHEUS_PAUSE_SECONDS", 0.0)
    with prometheus_api.running() as running:

        def given(kind, result):
            running.answers = [(200, json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}))]
            return client.instant(running.url, "q")

        sample = {"metric": {"pod": "a"}, "value": [1.0, "0.25"]}
        assert given("vector", [sample]) == 0.25
        assert given("scalar", [1.0, "0.5"]) == 0.5
        assert given("vector", []) is None
        with pytest.raises(UserError, match="gives 2 series; it must give one number: sum them up"):
            given("vector", [sample, sample])
        with pytest.raises(UserError, match="gives a matrix"):
            given("matrix", [])
        with pytest.raises(UserError, match="400: 1:5: parse error"):
            client.instant(running.url, "sum(")
