"""A cluster: what pipelines that were compiled for it will find there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mainspring.components.common import pod_security
from mainspring.components.common.errors import UserError
from mainspring.pipelines.doctor.findings import NOTE, OK, WRONG, Finding
from mainspring.pipelines.doctor.needs import Needs, Pool

SECONDS = 5
RUNTIME = "mainspring-tensorflow"
COLLECTED = "katib.kubeflow.org/metrics-collector-injection"
"""The label of a namespace in which Katib measures."""
KINDS = (
    ("KServe", "serving.kserve.io", "v1beta1", "inferenceservices", "kserve:// targets need it: install KServe"),
    (
        "Trainer",
        "trainer.kubeflow.org",
        "v1alpha1",
        "trainjobs",
        "training on several nodes needs it: install Trainer v2",
    ),
)
RIGHTS = (
    ("serving.kserve.io", "inferenceservices", ("get", "list", "create", "patch", "delete")),
    ("trainer.kubeflow.org", "trainjobs", ("get", "create", "delete")),
    ("", "pods/log", ("get",)),
)


class Kubernetes:
    """The Kubernetes API as the user's kubeconfig, or the pod's service account, sees it."""

    def __init__(self, context: str = "") -> None:
        """Reads the configuration; asks nothing yet.

        Raises:
            UserError: There is none.
        """
        from kubernetes import client, config

        configuration = client.Configuration()
        try:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException:
                config.load_kube_config(context=context or None, client_configuration=configuration)
        except Exception as error:  # The library raises its own, YAML's and the operating system's errors alike.
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"kubeconfig: {reason}; set KUBECONFIG or --context, or log in to the cluster") from error
        configuration.retries = 0
        self.host = configuration.host
        self._client = client.ApiClient(configuration)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Returns status and answer; status 0 with the reason where there is no answer."""
        from kubernetes.client.exceptions import ApiException

        try:
            answer, status, _ = self._client.call_api(
                path, method, body=body, auth_settings=["BearerToken"], response_type="object", _request_timeout=SECONDS
            )
        except ApiException as error:
            return error.status or 0, {"message": error.reason}
        except Exception as error:  # Whatever urllib3 and ssl raise.
            return 0, {"message": type(error).__name__}
        return status, answer or {}


def check_cluster(kubernetes: Kubernetes, namespace: str, needs: Needs, account: str = "") -> Iterator[Finding]:
    """Yields what was found through the Kubernetes API.

    Args:
        kubernetes: The API.
        namespace: Where pipelines run.
        needs: What the compiled pipelines ask of the cluster.
        account: The service account of the runs, whose rights are looked at; empty: those of who asks.
    """
    status, answer = kubernetes.ask("GET", "/version")
    if status != 200:
        reason = f"{status} {answer.get('message', '')}" if status else answer["message"]
        yield Finding(
            "Kubernetes", WRONG, f"{kubernetes.host} does not answer: {reason}", "log in, or choose --context"
        )
        return
    yield Finding("Kubernetes", OK, f"{answer.get('gitVersion', 'unknown version')} at {kubernetes.host}")
    for name, group, version, kind, fix in KINDS:
        status, answer = kubernetes.ask("GET", f"/apis/{group}/{version}")
        found = status == 200 and any(item.get("name") == kind for item in answer.get("resources", []))
        says = f"{group}/{version} is served" if found else f"{group}/{version} {kind} are not there"
        yield Finding(name, OK if found else WRONG if name == "KServe" else NOTE, says, "" if found else fix)
    yield from _training(kubernetes, namespace)
    yield from _pod_security(kubernetes, namespace)
    yield from _rights(kubernetes, namespace, account)
    yield _storage(kubernetes)
    yield from _pools(kubernetes, needs.pools)


def _training(kubernetes: Kubernetes, namespace: str) -> Iterator[Finding]:
    """Yields what training and tuning on the cluster lack; nothing where their services are not there."""
    status, _ = kubernetes.ask("GET", f"/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/{RUNTIME}")
    if status == 200:
        yield Finding("training runtime", OK, f"{RUNTIME} is there")
    elif status == 404:
        yield Finding("training runtime", NOTE, f"{RUNTIME} is not there", "apply one of manifests/overlays")
    status, answer = kubernetes.ask("GET", "/apis/kubeflow.org/v1beta1")
    if status != 200 or not any(item.get("name") == "experiments" for item in answer.get("resources", [])):
        return
    status, found = kubernetes.ask("GET", f"/api/v1/namespaces/{namespace}")
    if status != 200:
        return
    if (found.get("metadata", {}).get("labels") or {}).get(COLLECTED) == "enabled":
        yield Finding("Katib", OK, f"collects what trials in {namespace} print")
    else:
        fix = f"kubectl label namespace {namespace} {COLLECTED}=enabled"
        yield Finding("Katib", NOTE, f"collects nothing in {namespace}: tune_model_distributed would be refused", fix)


def _pod_security(kubernetes: Kubernetes, namespace: str) -> Iterator[Finding]:
    status, found = kubernetes.ask("GET", f"/api/v1/namespaces/{namespace}")
    if status != 200 or pod_security.level(found) != pod_security.RESTRICTED:
        return
    status, listed = kubernetes.ask("GET", "/apis/serving.kserve.io/v1alpha1/clusterstoragecontainers")
    if status == 404:
        return
    if status != 200:
        says = f"{namespace} enforces {pod_security.RESTRICTED!r}; whether KServe's pods hold to it cannot be seen"
        yield Finding("pod security", NOTE, f"{says} ({status})")
    elif why := pod_security.refused_initializer(listed.get("items") or []):
        says, _, fix = why.partition("; ")
        yield Finding("pod security", WRONG, says, fix)
    else:
        yield Finding("pod security", OK, f"{namespace} enforces {pod_security.RESTRICTED!r}, and KServe holds to it")


def _rights(kubernetes: Kubernetes, namespace: str, account: str) -> Iterator[Finding]:
    review, spec = "SelfSubjectAccessReview", dict[str, Any]()
    if account:  # A cluster adds these groups to whoever logs in; who asks about another has to name them.
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        review = "SubjectAccessReview"
        spec = {"user": f"system:serviceaccount:{namespace}:{account}", "groups": groups}
    path = f"/apis/authorization.k8s.io/v1/{review.lower()}s"
    for group, resource, verbs in RIGHTS:
        kind, _, part = resource.partition("/")
        lacking, status = [], 0
        for verb in verbs:
            asked = {"namespace": namespace, "group": group, "resource": kind, "subresource": part, "verb": verb}
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": review,
                "spec": {**spec, "resourceAttributes": {key: value for key, value in asked.items() if value}},
            }
            status, answer = kubernetes.ask("POST", path, body)
            if not (answer.get("status") or {}).get("allowed"):
                lacking.append(verb)
        name = f"rights on {resource}"
        if status not in (200, 201):
            yield Finding(name, NOTE, f"cannot be asked for ({status})")
        elif lacking:
            fix = (
                f"bind a Role in {namespace} with verbs [{', '.join(lacking)}] on {resource} of group {group or 'core'}"
            )
            says = f"{account or 'you'} may not {', '.join(lacking)}"
            yield Finding(name, WRONG, says, f"{fix} (manifests/base has one)")
        else:
            yield Finding(name, OK, f"{f'{account} may ' if account else ''}{', '.join(verbs)} in {namespace}")


def _storage(kubernetes: Kubernetes) -> Finding:
    status, answer = kubernetes.ask("GET", "/apis/storage.k8s.io/v1/storageclasses")
    if status != 200:
        return Finding(
            "storage", NOTE, f"storage classes cannot be listed ({status}); ask an administrator for a default one"
        )
    mark = "storageclass.kubernetes.io/is-default-class"
    classes = answer.get("items", [])
    default = [c["metadata"]["name"] for c in classes if (c["metadata"].get("annotations") or {}).get(mark) == "true"]
    if default:
        return Finding("storage", OK, f"{default[0]} is the default storage class")
    return Finding(
        "storage", WRONG, f"none of {len(classes)} storage classes is the default", f"annotate one with {mark}"
    )


def _pools(kubernetes: Kubernetes, pools: tuple[Pool, ...]) -> Iterator[Finding]:
    if not pools:
        return
    status, answer = kubernetes.ask("GET", "/api/v1/nodes")
    for pool in pools:
        name = f"node pool for {pool.step}"
        if status != 200:
            yield Finding(name, NOTE, f"nodes cannot be listed ({status}); it wants {pool.words()}")
            continue
        fitting = [node for node in answer.get("items", []) if pool.fits(node)]
        if fitting:
            yield Finding(name, OK, f"{len(fitting)} nodes have {pool.words()}")
        else:
            fix = "make a node pool like that, or recompile for another accelerator"
            yield Finding(name, WRONG, f"no node has {pool.words()} now (an autoscaled pool may be at zero)", fix)
