"""Registering a version, by the SDK's own client, at a server that holds every request against the API's document."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import registry_api

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.kubeflow import register_model as registering
from mainspring.components.kubeflow.register_model import register_model


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(registering, "PATIENCE_SECONDS", 120.0)
    monkeypatch.setattr(registering, "FIRST_PAUSE", 0.05)
    monkeypatch.delenv(registering.TOKEN_VARIABLE, raising=False)
    with registry_api.running() as running:
        yield running
        assert running.refused == [], "all that was sent is what the API's document says"


@pytest.fixture
def published(tmp_path):
    """Publishes a version as deployment lays it out, as far as a registration reads it."""

    def make(number: int = 3, fingerprint: str = "sha256:three", **metrics: object) -> str:
        folder = tmp_path / "models" / "flights" / str(number)
        (folder / "evaluation").mkdir(parents=True, exist_ok=True)
        version = {
            "name": "flights",
            "version": number,
            "model_fingerprint": fingerprint,
            "examples_fingerprint": "sha256:examples",
            "baseline": "gs://models/flights/2",
            "replaces": 2,
            "created": "2026-11-01T00:00:00+00:00",
            "files": {},
            "run": "run-17",
        }
        manifest = {
            "task": "binary_classification",
            "label": "late",
            "classes": ["no", "yes"],
            "features": {"x": "numeric"},
            "hyperparameters": {},
            "seed": 1,
            "examples_fingerprint": "sha256:examples",
            "schema_fingerprint": "sha256:schema",
            "parent": "",
            "fingerprint": fingerprint,
            "versions": {"tensorflow": "2.21.0"},
        }
        (folder / "version.json").write_text(json.dumps(version))
        (folder / "manifest.json").write_text(json.dumps(manifest))
        verdict = {"blessed": True, "metrics": {"challenger": metrics or {"auc": 0.79}, "champion": {"auc": 0.7}}}
        (folder / "evaluation" / "evaluation.json").write_text(json.dumps(verdict))
        return str(folder)

    return make


def one_of_each(registry) -> bool:
    return (len(registry.models), len(registry.versions), len(registry.artifacts)) == (1, 1, 1)


def test_a_version_is_registered_with_its_uri_metrics_and_run(registry, published):
    uri = published(3, auc=0.79, example_count=2, confusion="[[1]]", broken=None)
    done = register_model(uri, registry.url, author="ann")
    assert one_of_each(registry)
    (model,), (version,) = registry.models.values(), registry.versions.values()
    ((parent, artifact),) = registry.artifacts.values()
    assert (model["name"], model["owner"], version["name"], version["author"]) == ("flights", "ann", "3", "ann")
    assert (artifact["uri"], artifact["modelFormatName"], parent) == (f"file://{uri}", "tensorflow", version["id"])
    assert (artifact["modelSourceKind"], artifact["modelSourceId"]) == ("kfp", "run-17")
    assert done == (model["id"], version["id"], artifact["id"])
    said = version["customProperties"]
    assert said["metric.auc"] == {"metadataType": "MetadataDoubleValue", "double_value": 0.79}
    assert {key for key in said if key.startswith("metric.")} == {"metric.auc", "metric.example_count"}
    for key, value in {"run_id": "run-17", "model_fingerprint": "sha256:three", "code.tensorflow": "2.21.0"}.items():
        assert said[key] == {"metadataType": "MetadataStringValue", "string_value": value}


def test_registering_it_again_changes_nothing_and_the_next_version_joins_the_same_model(registry, published):
    first = register_model(published(3), registry.url)
    writes = [call for call in registry.calls if not call.startswith("GET")]
    assert register_model(published(3), registry.url) == first
    assert [call for call in registry.calls if not call.startswith("GET")] == writes
    fourth = register_model(published(4, "sha256:four"), registry.url)
    assert (fourth.model_id, len(registry.versions)) == (first.model_id, 2)
    own = register_model(published(3), registry.url, name="flights-eu")
    assert own.model_id != first.model_id


def test_another_model_under_the_same_version_is_refused(registry, published, tmp_path):
    register_model(published(3), registry.url)
    with pytest.raises(UserError, match=r"version 3 of flights is another model there .*sha256:three.*; give name"):
        register_model(published(3, "sha256:other"), registry.url)
    moved = published(3)
    (tmp_path / "models").rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"lies at file://.*/models/flights/3 there, not at"):
        register_model(moved.replace("/models/", "/moved/"), registry.url)
    assert one_of_each(registry)


WRITES = ("POST /registered_models", "POST /model_versions", r"POST /model_versions/\d+/artifacts", "PATCH .*")


@pytest.mark.parametrize("fault", [409, 429, 503, "before", "after"])
def test_a_registry_that_fails_in_passing_at_every_write_ends_with_one_entry(registry, published, fault):
    registry.faults = [(call, fault) for call in (*WRITES, "GET /registered_model")]
    done = register_model(published(3), registry.url)
    assert registry.faults == [], "they were met"
    assert one_of_each(registry)
    assert registry.artifacts[done.artifact_id][1]["modelSourceId"] == "run-17"


@pytest.mark.parametrize("write", WRITES)
def test_a_run_killed_at_any_write_is_completed_by_the_next(registry, published, write):
    """A real SIGKILL, once the registry has done what it was told and before the run hears of it."""
    code = (
        "import sys; from mainspring.components.kubeflow.register_model import register_model\n"
        "register_model(sys.argv[1], sys.argv[2])"
    )
    killed = subprocess.Popen([sys.executable, "-c", code, published(3), registry.url])
    handle = registry.handle

    def kill_after(method, path, query, body):
        answer = handle(method, path, query, body)
        if registry_api.re.fullmatch(write, f"{method} {path}"):
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        return answer

    registry.handle = kill_after
    assert killed.wait() == -signal.SIGKILL
    registry.handle = handle
    done = register_model(published(3), registry.url)
    assert one_of_each(registry)
    assert registry.artifacts[done.artifact_id][1]["modelSourceId"] == "run-17"


def test_the_token_of_the_pod_is_sent_and_a_wrong_one_is_one_line(registry, published, tmp_path, monkeypatch):
    registry.token = "good"
    with pytest.raises(UserError, match=r"the registry refuses this account \(401"):
        register_model(published(3), registry.url)
    (tmp_path / "token").write_text("good\n")
    monkeypatch.setenv(registering.TOKEN_VARIABLE, str(tmp_path / "token"))
    register_model(published(3), registry.url)
    monkeypatch.setenv(registering.TOKEN_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"\$KF_PIPELINES_SA_TOKEN_PATH: .*/none: No such file"):
        register_model(published(3), registry.url)


@pytest.mark.parametrize(
    ("where", "says"),
    [("flights", "must be a URL"), ("https://127.0.0.1:{port}", "needs a token"), ("{url}/elsewhere", "404")],
)
def test_a_registry_that_is_none_is_one_line(registry, published, where, says):
    url = where.format(port=registry.url.rpartition(":")[2], url=registry.url)
    with pytest.raises(UserError, match=says) as error:
        register_model(published(3), url)
    assert "\n" not in str(error.value)
    assert not registry.models


def test_a_registry_that_is_down_or_talks_nonsense_is_one_line(registry, published, monkeypatch):
    monkeypatch.setattr(registering, "PATIENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RetriableError, match="no answer"):
        register_model(published(3), f"http://127.0.0.1:{port}")
    registry.handle = lambda *_: (200, {"items": "many"})
    with pytest.raises(UserError, match="answers something else than a Model Registry does"):
        register_model(published(3), registry.url)


def test_what_is_not_published_is_not_registered(registry, published, tmp_path):
    with pytest.raises(UserError, match="no published version there"):
        register_model(str(tmp_path), registry.url)
    uri = published(3)
    os.truncate(f"{uri}/version.json", 10)
    with pytest.raises(UserError, match=r"version\.json: cannot be read as JSON"):
        register_model(uri, registry.url)
    assert registry.calls == []
