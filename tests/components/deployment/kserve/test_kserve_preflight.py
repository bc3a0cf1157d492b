"""What is refused before anything is changed: by the cluster's means, and in the serving policy."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from kserve_cluster import WHERE, deploy, is_serving

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import targets
from mainspring.components.deployment.kserve import objects, policy, target
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
def test_a_namespace_that_would_refuse_the_pods_is_said_before_and_with_what_mends_it(cluster, version):
    cluster.storage_container["supportedUriFormats"].append({"prefix": version(1).uri[:7]})  # The tests' own bucket.
    cluster.labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with pytest.raises(
        UserError, match=r"enforces pod security 'restricted'. KServe's storage initializer .* kubectl pa"
    ):
        deploy(version(1))
    assert cluster.applied == []
    shipped = Path(__file__).parents[4] / "manifests" / "kserve" / "storage-container.yaml"
    cluster.storage_container["container"] |= yaml.safe_load(shipped.read_text())["spec"]["container"]
    deploy(version(1))
    assert is_serving(cluster, version(1))


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_steps_are_refused_where_nothing_would_split_the_traffic(cluster, version):
    with pytest.raises(UserError, match=r"rollout step 10: no release of KServe moves a share .*; write rollout=0,100"):
        deploy(version(1), Plan((0.0, 10.0, 100.0), 0.0))
    assert cluster.applied == []


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


@pytest.mark.parametrize("release", ["0.15", "0.16", "0.20"])
def test_a_service_is_made_in_the_words_of_this_clusters_kserve(cluster, version, release):
    cluster.release = release
    deploy(version(1))
    word = objects.OLDER_WORDS[cluster.mode] if release == "0.15" else cluster.mode
    assert cluster.service()["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == word
    cluster.release = "0.20"  # The cluster is updated; a service keeps the word by which it was made.
    deploy(version(2))
    assert cluster.service()["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == word
    assert is_serving(cluster, version(2))


def test_what_a_webhook_would_refuse_is_said_at_once_and_nothing_is_applied(cluster, version):
    denied = 'admission webhook "policy.example.com" denied the request: images must come from our registry'
    cluster.denial = denied
    with pytest.raises(UserError, match=r"this cluster would refuse .*, so nothing was published: .*403: admission"):
        deploy(version(1))
    assert cluster.applied == []
    assert [path for path in cluster.objects if "mainspring-flights" in path] == [], "nor written down"


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("team/2024-flights", "begin with a letter"),
        (f"{'p' * 40}/{'m' * 12}", "of 73 letters, and 63 is the most; make the name or the namespace 10 shorter"),
        (f"team/{'m' * 46}", "of 71 letters"),
    ],
)
def test_a_name_of_which_kserve_could_not_make_its_own_is_refused_before_anything_is_published(cluster, where, says):
    cluster.namespaces.add("p" * 40)
    with pytest.raises(UserError, match=says):
        target.check(
            targets.parse(f"kserve://{where}"), policy.ServingPolicy(reach="api"), Plan((100.0,), 0.0), "gs://models"
        )
    assert cluster.applied == []


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_a_host_name_counts_by_the_clusters_own_template(cluster):
    where = targets.parse(f"kserve://{'p' * 40}/{'m' * 12}")
    cluster.namespaces.add("p" * 40)
    apart = {"domainTemplate": "{{ .Name }}.{{ .Namespace }}.{{ .IngressDomain }}", "ingressDomain": "example.com"}
    cluster.objects[CONFIGURATION] = {"data": {"ingress": json.dumps(apart)}}
    target.check(where, policy.ServingPolicy(reach="api"), Plan((100.0,), 0.0), "gs://models")


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_a_version_of_the_earlier_layout_takes_a_runtime_that_can_read_it(cluster, version):
    earlier = replace(version(1), inside="")
    with pytest.raises(UserError, match=r"was published before .*runtime: mainspring"):
        deploy(earlier)
    assert cluster.applied == []
    cluster.runtimes_named.add("mainspring")
    deploy(earlier, runtime="mainspring")
    assert cluster.service()["spec"]["predictor"]["model"]["storageUri"] == f"{earlier.uri}/"
    assert target.champion(WHERE) == (1, earlier.uri)


NAMESPACE = "/api/v1/namespaces/team"
CONFIGURATION = "/api/v1/namespaces/kserve/configmaps/inferenceservice-config"
S3 = {"AWS_ACCESS_KEY_ID": "aQ==", "AWS_SECRET_ACCESS_KEY": "a2V5"}
GOOGLE = {"gcloud-application-credentials.json": "e30="}


def preflight(cluster, root: str, account: dict | None = None, secrets: dict | None = None, **settings: object) -> None:
    """The preflight of a deployment, by an account `reader` and the secrets of a namespace."""
    cluster.objects[f"{NAMESPACE}/serviceaccounts/reader"] = {"metadata": {"name": "reader"}, **(account or {})}
    for name, data in (secrets or {}).items():
        cluster.objects[f"{NAMESPACE}/secrets/{name}"] = {"type": "Opaque", "data": data}
    wanted = policy.ServingPolicy(**{"reach": "api", "service_account": "reader", **settings})
    target.check(WHERE, wanted, Plan((0.0, 100.0), 0.0), root)


def naming(*secrets: str, **annotations: str) -> dict:
    metadata = {"name": "reader", "annotations": annotations}
    return {"metadata": metadata, "secrets": [{"name": secret} for secret in secrets]}


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
@pytest.mark.parametrize(
    ("root", "account", "secrets"),
    [
        ("s3://models", naming("minio"), {"minio": S3}),
        ("s3://models", naming("other", "minio"), {"other": {"token": "eA=="}, "minio": S3}),
        ("gs://models", naming("key"), {"key": GOOGLE}),
        ("gs://models", naming(**{"iam.gke.io/gcp-service-account": "reader@project"}), {}),
        ("s3://models", naming(**{"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/reader"}), {}),
    ],
)
def test_an_account_that_can_read_the_models_passes_in_silence(cluster, root, account, secrets, capsys):
    preflight(cluster, root, account, secrets)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
@pytest.mark.parametrize(
    ("root", "account", "secrets", "says"),
    [
        (
            "s3://models",
            naming("minio"),
            {},
            "'reader' names secret 'minio', which is not in namespace team: .*make it",
        ),
        ("s3://models", naming("minio"), {"minio": {"AWS_SECRET_ACCESS_KEY": "a2V5"}}, "and no AWS_ACCESS_KEY_ID"),
        ("gs://models", naming("key"), {}, "with gcloud-application-credentials.json"),
    ],
)
def test_a_secret_with_which_no_pod_would_start_is_refused(cluster, root, account, secrets, says):
    with pytest.raises(UserError, match=says):
        preflight(cluster, root, account, secrets)
    assert cluster.applied == []


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
@pytest.mark.parametrize(
    ("root", "account", "secrets", "says"),
    [
        ("s3://models", naming(), {}, "has no secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY .*it has none"),
        ("s3://models", naming("key"), {"key": GOOGLE}, r"among its secrets \(key\)"),
        ("gs://models", naming("minio"), {"minio": S3}, "no annotation iam.gke.io/gcp-service-account"),
    ],
)
def test_an_account_without_credentials_is_warned_of_in_one_line(cluster, root, account, secrets, says, capsys):
    preflight(cluster, root, account, secrets)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert re.search(says, said[0])
    assert said[0].endswith("or name another account in serving_policy: service_account")


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_secrets_that_may_not_be_read_are_said_and_no_reason_to_stop(cluster, capsys):
    cluster.denied.add(("get", "secrets"))
    preflight(cluster, "s3://models", naming("minio"), {})
    assert capsys.readouterr().out.splitlines() == [
        "kserve://team/flights: secret 'minio' of service account 'reader' may not be read from here, so it is not "
        "checked"
    ]


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_without_kserves_settings_no_secrets_keys_are_called_wrong(cluster, capsys):
    del cluster.objects[CONFIGURATION]
    for keys in (S3, {"awsAccessKeyID": "aQ==", "awsSecretAccessKey": "a2V5"}, {"AWS_ACCESS_KEY_ID": "aQ=="}):
        preflight(cluster, "s3://models", naming("minio"), {"minio": keys})
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match="'gone', which is not in namespace team"):
        preflight(cluster, "s3://models", naming("gone"))


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_the_secret_that_an_annotation_names_goes_before_those_of_the_account(cluster, capsys):
    named = {"annotations": {"serving.kserve.io/storageSecretName": "mine"}}
    with pytest.raises(UserError, match="storageSecretName names secret 'mine', which is not in namespace team"):
        preflight(cluster, "s3://models", naming("minio"), {"minio": S3}, **named)
    with pytest.raises(
        UserError, match="'mine' of namespace team, which has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    ):
        preflight(cluster, "s3://models", naming("minio"), {"minio": S3, "mine": GOOGLE}, **named)
    preflight(cluster, "s3://models", naming(), {"mine": S3}, **named)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_names_that_an_administrator_chose_are_the_ones_that_count(cluster, capsys):
    chosen = {"s3": {"s3AccessKeyIDName": "id", "s3SecretAccessKeyName": "key"}, "storageSecretNameAnnotation": "x/y"}
    cluster.objects[CONFIGURATION] = {"data": {"credentials": json.dumps(chosen)}}
    preflight(cluster, "s3://models", naming("minio"), {"minio": {"id": "eA==", "key": "eA=="}})
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match="annotation x/y names secret 'gone'"):
        preflight(cluster, "s3://models", naming(), {}, annotations={"x/y": "gone"})
