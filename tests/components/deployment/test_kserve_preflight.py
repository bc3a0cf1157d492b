"""What is refused before anything is changed: by the cluster's means, and in the serving policy."""

from __future__ import annotations

import pytest
import yaml
from kserve_cluster import deploy, is_serving

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import policy
from mainspring.components.deployment.rollouts import Plan


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cluster: cluster.groups.discard("serving.kserve.io"), "has no KServe"),
        (lambda cluster: cluster.namespaces.clear(), "there is no namespace 'team'"),
        (lambda cluster: cluster.denied.add(("patch", "inferenceservices")), "may not patch inferenceservices"),
        (lambda cluster: cluster.runtimes.clear(), "no serving runtime that takes tensorflow"),
    ],
)
def test_what_a_cluster_lacks_is_said_before_anything_is_done(cluster, version, change, says, capsys):
    change(cluster)
    with pytest.raises(UserError, match=says):
        deploy(version(1))
    assert cluster.applied == []
    if "may not" in says:
        printed = yaml.safe_load(capsys.readouterr().out)
        assert printed["kind"] == "Role"
        assert printed["rules"][0] == {
            "apiGroups": ["serving.kserve.io"],
            "resources": ["inferenceservices"],
            "verbs": ["patch"],
        }


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_steps_are_refused_where_nothing_would_split_the_traffic(cluster, version):
    cluster.groups.discard("gateway.networking.k8s.io")
    with pytest.raises(UserError, match="use rollout=0,100"):
        deploy(version(1))
    deploy(version(1), Plan((0.0, 100.0), 0.0))
    deploy(version(2), Plan((0.0, 100.0), 0.0))
    assert is_serving(cluster, version(2))


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"min_replicas": 0}, "only Knative scales to zero"),
        ({"service_account": "nobody"}, "'nobody': there is none in namespace team; make it, with the storage secret"),
        ({"runtime": "other"}, "'other': no such serving runtime here; there are"),
    ],
)
def test_a_policy_that_this_cluster_cannot_meet_is_refused_and_nothing_is_applied(cluster, version, settings, says):
    with pytest.raises(UserError, match=says):
        deploy(version(1), **settings)
    assert cluster.applied == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "must be a mapping"),
        ("replicas: 2", "unknown key 'replicas'"),
        ("min_replicas: -1", "min_replicas -1"),
        ("{min_replicas: 3, max_replicas: 2}", "more than max_replicas"),
        ("mode: serverless", "must be one of auto, Knative, Standard"),
        ("logger: {mode: all}", "logger: must be"),
        ("error_query: x", "need prometheus"),
        ("reach: somewhere", "or a gateway's URL"),
        ("resources: 3", "resources: must be a mapping"),
    ],
)
def test_a_serving_policy_that_cannot_be_is_refused(text, says):
    with pytest.raises(UserError, match=says):
        policy.parse(text)
