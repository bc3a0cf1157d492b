"""Predictors on a node pool: the profile's labels, taints and GPUs in an InferenceService that KServe takes."""

from __future__ import annotations

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import targets
from mainspring.components.deployment.kserve import objects, policy
from mainspring.pipelines import accelerators
from tests.schemas import validate

GPU = "cloud.google.com/gke-accelerator"
RUNTIME = "{runtime: tensorflow-gpu, min_replicas: 2}"


@pytest.mark.parametrize("mode", [objects.STANDARD, objects.KNATIVE])
@pytest.mark.parametrize(
    ("name", "label", "count", "memory"), [("l4", "nvidia-l4", "1", "40G"), ("l4-x4", "nvidia-l4", "4", "163G")]
)
def test_a_predictor_and_its_candidate_run_on_the_profiles_gpus(mode, name, label, count, memory):
    parsed = policy.parse(accelerators.serving_policy(name, RUNTIME, spot=True))
    version, target = (
        objects.Version(2, "gs://models/flights/2", "sha256:x", "run"),
        targets.parse("kserve://team/flights"),
    )
    service = objects.service(target, mode, mode, parsed, version)
    services = [service, objects.candidate(target, mode, parsed, version)] if mode == objects.STANDARD else [service]
    for each in services:
        assert validate(each) == []
        predictor = each["spec"]["predictor"]
        assert predictor["nodeSelector"][GPU] == label
        assert predictor["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
        assert "nvidia.com/gpu" in [toleration["key"] for toleration in predictor["tolerations"]]
        resources = predictor["model"]["resources"]
        assert resources["limits"] == {"nvidia.com/gpu": count, "memory": memory}
        assert resources["requests"]["memory"] == memory
        assert predictor["model"]["runtime"] == "tensorflow-gpu"
    assert service["spec"]["predictor"]["minReplicas"] == 2


@pytest.mark.parametrize(
    ("profile", "rest", "says"),
    [
        ("v5e-2x4", RUNTIME, "serving takes GPUs of one machine"),
        ("l4", "", "needs runtime"),
        ("l4", "[1]", "needs runtime"),
        ("l4", "{runtime: r, resources: {}, tolerations: []}", "resources, tolerations: accelerator l4 says this"),
        ("l5", RUNTIME, "l5"),
    ],
)
def test_a_policy_that_cannot_be_served_on_the_profile_is_refused(profile, rest, says):
    with pytest.raises(UserError, match=says):
        accelerators.serving_policy(profile, rest)
