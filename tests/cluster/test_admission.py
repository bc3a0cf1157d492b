"""What real API servers and KServe's real webhooks take and refuse: the stand-in of other tests says the same."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from kubernetes.client.exceptions import ApiException

from mainspring.components.common import kubernetes_api as kubernetes
from mainspring.components.common.errors import UserError
from mainspring.components.deployment import targets
from mainspring.components.deployment.kserve import objects, preflight, target
from mainspring.components.deployment.kserve.objects import KNATIVE, STANDARD, Version
from mainspring.components.deployment.kserve.policy import Logger, ServingPolicy
from mainspring.components.deployment.rollouts import Plan

VERSION = Version(7, "gs://bucket/models/flights/7", "sha256:7", "run-7")
POLICY = ServingPolicy(
    reach="api",
    min_replicas=1,
    max_replicas=3,
    scale_metric="cpu",
    scale_target=80,
    resources={"requests": {"cpu": "1"}},
    node_selector={"pool": "serving"},
    tolerations=[{"key": "serving", "operator": "Exists"}],
    logger=Logger("http://logs"),
    annotations={"team/owner": "ann"},
)


def answer(cluster, body: dict) -> tuple[int, str]:
    """What the cluster says to an object, of which nothing is kept: 200 and nothing, or the refusal."""
    place = f"/apis/serving.kserve.io/v1beta1/namespaces/team/inferenceservices/{body['metadata']['name']}"
    query = {"fieldManager": "tests", "force": "true", "dryRun": "All"}
    try:
        cluster.plane.call("PATCH", place, body, "application/apply-patch+yaml", **query)
    except ApiException as error:
        return error.status, json.loads(error.body)["message"]
    return 200, ""


def changed(body: dict, name: str = "flights", **predictor: object) -> dict:
    """A copy of an InferenceService with another name, and with changes of its predictor; `model` is changed, too."""
    body = copy.deepcopy(body)
    body["metadata"]["name"] = name
    body["spec"]["predictor"]["model"].update(predictor.pop("model", {}))
    body["spec"]["predictor"].update(predictor)
    return body


def test_everything_that_we_apply_is_taken(cluster):
    for mode in (STANDARD, KNATIVE):
        word = objects.OLDER_WORDS[mode] if cluster.release == "0.15" else mode
        policy = POLICY if mode == STANDARD else replace(POLICY, scale_metric="concurrency", min_replicas=0)
        asked = [objects.service(cluster.target, mode, word, policy, VERSION)]
        if mode == KNATIVE:
            asked.append(objects.service(cluster.target, mode, word, policy, VERSION, 10))
        else:
            asked.append(objects.candidate(cluster.target, word, policy, VERSION))
        for body in asked:
            assert answer(cluster, body) == (200, ""), (mode, body)


def test_what_the_stand_in_refuses_is_what_a_real_cluster_refuses(cluster):
    import kube_stand_in

    plain = objects.service(cluster.target, STANDARD, STANDARD, ServingPolicy(), VERSION)
    lists = changed(plain, storageUris=[{"uri": "gs://b/m", "mountPath": "/mnt/models"}])
    lists["spec"]["predictor"]["model"].pop("storageUri")
    asked = {
        "plain": plain,
        "a container's name": changed(plain, model={"name": "kserve-container"}),
        "a list of URIs": lists,
        "a predictor's name": {**changed(plain), "spec": changed(plain, name="v7")["spec"]},
        "a name that begins with a digit": changed(plain, "2024-flights"),
        "a name with a hyphen at its end": changed(plain, "f1-a"),
    }
    for what, body in asked.items():
        status, said = answer(cluster, body)
        played = kube_stand_in.refusals(body, None, cluster.release)
        assert (played or (200, ""))[0] == status, what
        assert said.startswith((played or (200, ""))[1]), what


def test_a_field_that_nobody_declared_is_refused_at_once_and_said(cluster):
    connection = kubernetes.connect()
    body = changed(objects.service(cluster.target, STANDARD, STANDARD, ServingPolicy(), VERSION), nonsense=1)
    with pytest.raises(kubernetes.ApiError, match="nonsense: field not declared in schema") as caught:
        connection.rehearse(objects.path(cluster.target), body)
    assert caught.value.status == 500
    assert caught.value.refuses


def test_the_words_for_the_modes_are_found_out(cluster):
    found = preflight.check(kubernetes.connect(), cluster.target, ServingPolicy(), (0.0, 100.0), True, VERSION)
    assert (found.mode, found.word) == (STANDARD, "RawDeployment" if cluster.release == "0.15" else "Standard")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("2024-flights", "begin with a letter"),
        ("m" * 40, "a part of the host name m+-candidate-predictor-team.example.com would be .*, of 65 letters"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_is_published(cluster, name, says):
    where = targets.parse(f"kserve://team/{name}")
    with pytest.raises(UserError, match=says):
        target.check(where, ServingPolicy(reach="api"), Plan((0.0, 100.0), 0.0), "gs://bucket/models")
    assert cluster.services() == []
