"""The stand-in cluster, versions to deploy there, and the fixtures of every test of `kserve://`."""

from __future__ import annotations

import functools
import json

import pytest
import yaml
from kube_stand_in import TOKEN, Cluster

from mainspring.components.common import kubernetes_api
from mainspring.components.deployment import targets
from mainspring.components.deployment.kserve import durations, policy, reach, target
from mainspring.components.deployment.kserve.objects import Version
from mainspring.components.deployment.rollouts import Plan

WHERE = targets.parse("kserve://team/flights")
STEPS = {"Knative": Plan((0.0, 10.0, 50.0, 100.0), 0.05), "Standard": Plan((0.0, 100.0), 0.05)}
"""By mode: Standard splits no traffic."""

ROLLOUTS = {"mode": ""}
"""The mode of the cluster that a test deploys to."""


class Clock:
    """Says the time that a test lets pass: no machine is so slow that a version seems to be."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds


QUICK = (
    (kubernetes_api, "FIRST_PAUSE", 0.001),
    (kubernetes_api, "LONGEST_PAUSE", 0.02),
    (kubernetes_api, "CONFLICT_SECONDS", 0.001),
    (durations, "CONFLICT_SECONDS", 0.001),
    (durations, "PROMETHEUS_PAUSE_SECONDS", 0.001),
    (durations, "ROUTE_PAUSE_SECONDS", 0.01),
    (durations, "POLL_SECONDS", 0.01),
    (durations, "HOPELESS_SECONDS", 0.05),
    (reach, "PAIRS", 3),
)
"""How often it looks, in seconds. How long it waits at most stays as it is for users: what comes may take its time."""


def set_quick() -> None:
    """Sets `QUICK` in this process for good."""
    for module, name, value in QUICK:
        setattr(module, name, value)
    durations.clock = Clock()


@pytest.fixture
def limits(monkeypatch):
    """Sets how long something that never comes is waited for: `limits(ROUTE_SECONDS=0.1)`."""

    def given(module=durations, **seconds: float) -> None:
        for name, value in seconds.items():
            monkeypatch.setattr(module, name, value)

    return given


@pytest.fixture(params=["Standard", "Knative"])
def mode(request) -> str:
    return request.param


@pytest.fixture
def cluster(mode, tmp_path, monkeypatch):
    for module, name, value in QUICK:
        monkeypatch.setattr(module, name, value)
    clock = Clock()
    monkeypatch.setattr(durations, "clock", clock)
    ROLLOUTS["mode"] = mode
    with Cluster(mode).running() as running:
        running.sleep = clock.sleep
        (tmp_path / "token").write_text(TOKEN)
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{running.port}"}}],
            "users": [{"name": "u", "user": {"tokenFile": str(tmp_path / "token")}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        yield running


@pytest.fixture
def version(tmp_path):
    """A published version with held-out rows, as far as a rollout reads it."""

    @functools.cache
    def make(number: int) -> Version:
        folder = tmp_path / "models" / "flights" / str(number)
        (folder / "evaluation").mkdir(parents=True, exist_ok=True)
        rows = [{"x": float(x)} for x in range(5)]
        replay = {"instances": rows, "predictions": [2 * row["x"] for row in rows]}
        (folder / "evaluation" / "replay.json").write_text(json.dumps(replay))
        manifest = {
            "name": "flights",
            "version": number,
            "model_fingerprint": f"sha256:{number}",
            "examples_fingerprint": "",
            "baseline": "",
            "replaces": 0,
            "created": "",
            "files": {f"model/{number}/saved_model.pb": f"sha256:{number}"},
        }
        (folder / "version.json").write_text(json.dumps(manifest))
        return Version(number, str(folder), f"sha256:{number}")

    return make


def deploy(version: Version, plan: Plan | None = None, **changes: object) -> str:
    settings = policy.ServingPolicy(**{"reach": "api", "runtime": "", "ready_seconds": 600.0, **changes})
    return target.deploy(WHERE, version, settings, plan or STEPS[ROLLOUTS["mode"]])


def only(version: Version) -> dict[str, int]:
    return {version.uri: 100}


def is_serving(cluster: Cluster, version: Version) -> bool:
    return cluster.seen[-1] == only(version) and target.champion(WHERE) == (version.number, version.uri)
