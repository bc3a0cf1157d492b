"""The schemas refuse what an API server refuses, and take what the projects' own examples hold."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.schemas import validate

INFERENCE_SERVICE: dict[str, Any] = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "flights", "namespace": "team", "labels": {"app": "flights"}},
    "spec": {
        "predictor": {
            "minReplicas": 1,
            "canaryTrafficPercent": 10,
            "model": {
                "modelFormat": {"name": "mainspring"},
                "storageUri": "gs://models/flights/3",
                "ports": [{"containerPort": 8080}],  # Its protocol is a list key with a default.
                "resources": {"limits": {"cpu": 1, "memory": "2Gi"}},
            },
        }
    },
}
TRAIN_JOB: dict[str, Any] = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "TrainJob",
    "metadata": {"name": "flights"},
    "spec": {"runtimeRef": {"name": "tensorflow"}, "trainer": {"numNodes": 2, "env": [{"name": "A", "value": "1"}]}},
}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "collector"},
    "spec": {
        "selector": {"matchLabels": {"app": "collector"}},
        "template": {
            "metadata": {"labels": {"app": "collector"}},
            "spec": {"containers": [{"name": "collector", "image": "collector:1", "ports": [{"containerPort": 8080}]}]},
        },
    },
}
EXPERIMENT: dict[str, Any] = {
    "apiVersion": "kubeflow.org/v1beta1",
    "kind": "Experiment",
    "metadata": {"name": "tune"},
    "spec": {
        "objective": {"type": "maximize", "objectiveMetricName": "auc"},
        "algorithm": {"algorithmName": "random"},
        "trialTemplate": {"trialSpec": {"anything": "at all"}},
    },
}


def changed(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Returns a copy with one field set, by its path; None takes the field out."""
    holder = copied = copy.deepcopy(manifest)
    *above, last = path.split("/")
    for step in above:
        holder = holder.setdefault(step, {})
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    return copied


@pytest.mark.parametrize(
    "manifest", [INFERENCE_SERVICE, TRAIN_JOB, DEPLOYMENT, EXPERIMENT], ids=lambda manifest: manifest["kind"]
)
def test_a_proper_object_is_taken(manifest: dict[str, Any]) -> None:
    assert validate(manifest) == []


@pytest.mark.parametrize(
    ("manifest", "path", "value", "says"),
    [
        (INFERENCE_SERVICE, "spec/predictor/modle", {}, "spec.predictor.modle: unknown field"),
        (INFERENCE_SERVICE, "spec/predictor/canaryTrafficPercent", "10", "canaryTrafficPercent: '10' is not of type"),
        (INFERENCE_SERVICE, "spec/predictor/model/modelFormat", {}, "'name' is a required property"),
        (INFERENCE_SERVICE, "metadata/labels/version", 3, "metadata.labels.version: 3 is not of type 'string'"),
        (INFERENCE_SERVICE, "metadata/team", "ours", "metadata.team: unknown field"),
        (TRAIN_JOB, "spec/trainer/nodes", 2, "spec.trainer.nodes: unknown field"),
        (TRAIN_JOB, "spec/runtimeRef/name", None, "'name' is a required property"),
        (
            TRAIN_JOB,
            "spec/trainer/env",
            [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
            "two items with the same name",
        ),
        (DEPLOYMENT, "spec/template/spec/runAsNonRoot", True, "spec.template.spec.runAsNonRoot: unknown field"),
        (DEPLOYMENT, "spec/selector", None, "'selector' is a required property"),
        (EXPERIMENT, "spec/parallelTrials", 3, "spec.parallelTrials: unknown field"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(manifest: dict[str, Any], path: str, value: Any, says: str) -> None:
    errors = validate(changed(manifest, path, value))

    assert any(says in error and error.startswith(manifest["kind"]) for error in errors), errors


def test_a_kind_or_version_that_nobody_serves_is_refused() -> None:
    assert "no schema of this kind" in validate(changed(INFERENCE_SERVICE, "apiVersion", "serving.kserve.io/v1"))[0]
