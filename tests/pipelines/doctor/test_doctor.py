"""Doctor says of a cluster and of a machine what is missing, with the fix, and its exit status tells scripts."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mainspring.components.common.errors import UserError
from mainspring.pipelines import environments
from mainspring.pipelines.doctor import machine, needs
from tests.pipelines.cluster.kfp_server import KfpServer, running_server
from tests.pipelines.conftest import MAINSPRING
from tests.pipelines.doctor.kubernetes_server import Kubernetes, node_with, running_kubernetes

L4 = environments.PIPELINES / "training" / "l4.yaml"


@pytest.fixture
def kubernetes() -> Iterator[Kubernetes]:
    with running_kubernetes() as state:
        yield state


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with running_server() as state:
        yield state


def doctor(kubernetes: Kubernetes, kfp: KfpServer, tmp_path: Path, *more: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Runs the command against both servers; returns its exit status and the findings by check."""
    config = kubernetes.write_kubeconfig(tmp_path / "config")
    done = subprocess.run(
        [MAINSPRING, "doctor", "--json", "--host", kfp.url, *more],
        env=os.environ | {"KUBECONFIG": str(config), "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, {finding["check"]: finding for finding in json.loads(done.stdout)}


def test_a_cluster_with_everything_is_well(kubernetes: Kubernetes, kfp: KfpServer, tmp_path: Path) -> None:
    status, found = doctor(kubernetes, kfp, tmp_path, str(kubernetes.write_pipeline(tmp_path / "compiled.yaml")))
    wrong = {check: finding for check, finding in found.items() if finding["state"] == "wrong"}
    assert not {check for check in wrong if not check.startswith(("disk", "python", "c++"))}, wrong
    assert found["node pool for train-model"]["says"] == (
        "1 nodes have 1 nvidia.com/gpu and cloud.google.com/gke-accelerator=nvidia-l4"
    )
    assert found["image team/training"]["state"] == "ok"
    assert found["Kubernetes"]["says"].startswith("v1.33.1 at http")
    assert status == (1 if wrong else 0)


@pytest.mark.parametrize(
    ("gone", "check", "state", "fix"),
    [
        ("/apis/serving.kserve.io/v1beta1", "KServe", "wrong", "install KServe"),
        ("/apis/trainer.kubeflow.org/v1alpha1", "Trainer", "note", "install Trainer"),
        ("/apis/storage.k8s.io/v1/storageclasses", "storage", "note", ""),
        ("/version", "Kubernetes", "wrong", "choose --context"),
        ("/v2/team/training/manifests/1", "image team/training", "wrong", "push it"),
    ],
)
def test_what_a_cluster_lacks_is_said_with_its_fix(
    kubernetes: Kubernetes, kfp: KfpServer, tmp_path: Path, gone: str, check: str, state: str, fix: str
) -> None:
    del kubernetes.objects[gone]
    status, found = doctor(kubernetes, kfp, tmp_path, str(kubernetes.write_pipeline(tmp_path / "compiled.yaml")))
    assert found[check]["state"] == state
    assert fix in found[check]["fix"]
    assert status == 1 or state == "note"


def test_pod_security_and_katibs_label_are_looked_at(kubernetes: Kubernetes, kfp: KfpServer, tmp_path: Path) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    container = {"name": "storage-initializer", "image": "kserve/storage-initializer"}
    storage = {"metadata": {"name": "default"}, "spec": {"container": container}}
    kubernetes.objects |= {
        "/api/v1/namespaces/kubeflow": {"metadata": {"name": "kubeflow", "labels": labels}},
        "/apis/serving.kserve.io/v1alpha1/clusterstoragecontainers": {"items": [storage]},
        "/apis/kubeflow.org/v1beta1": {"resources": [{"name": "experiments"}]},
    }
    compiled = str(kubernetes.write_pipeline(tmp_path / "compiled.yaml"))
    status, found = doctor(kubernetes, kfp, tmp_path, compiled)
    assert status == 1
    assert found["pod security"]["state"] == "wrong"
    assert "kubectl patch clusterstoragecontainer default" in found["pod security"]["fix"]
    assert "kubectl label namespace kubeflow katib.kubeflow.org" in found["Katib"]["fix"]
    shipped = Path(__file__).parents[3] / "manifests" / "kserve" / "storage-container.yaml"
    container |= yaml.safe_load(shipped.read_text())["spec"]["container"]
    labels["katib.kubeflow.org/metrics-collector-injection"] = "enabled"
    status, found = doctor(kubernetes, kfp, tmp_path, compiled)
    assert (status, found["pod security"]["state"], found["Katib"]["state"]) == (0, "ok", "ok")


def test_lacking_rights_and_node_pools_and_registries_are_told(
    kubernetes: Kubernetes, kfp: KfpServer, tmp_path: Path
) -> None:
    kubernetes.forbidden = {"patch inferenceservices", "/v2/team/training/manifests/1"}
    kubernetes.objects["/api/v1/nodes"] = {"items": [node_with("nvidia-tesla-t4")]}
    status, found = doctor(kubernetes, kfp, tmp_path, str(L4))
    assert status == 1
    assert found["rights on inferenceservices"]["says"] == "you may not patch"
    assert (
        "verbs [patch] on inferenceservices of group serving.kserve.io" in found["rights on inferenceservices"]["fix"]
    )
    assert "no node has 1 nvidia.com/gpu" in found["node pool for train-model"]["says"]
    assert "compile with --digests" in found["images"]["fix"]
    kubernetes.forbidden.add("/api/v1/nodes")
    _, found = doctor(kubernetes, kfp, tmp_path, str(kubernetes.write_pipeline(tmp_path / "compiled.yaml")))
    assert found["node pool for train-model"]["state"] == "note"
    assert "wants a login" in found["image team/training"]["says"]


def test_the_rights_of_the_runs_service_account_are_looked_at_in_their_namespace(
    kubernetes: Kubernetes, kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSPRING_NAMESPACE", "team")
    kubernetes.forbidden = {"default-editor in team: create inferenceservices", "patch inferenceservices"}
    _, found = doctor(kubernetes, kfp, tmp_path, "--service-account", "default-editor")
    assert found["rights on inferenceservices"]["says"] == "default-editor may not create"
    assert "bind a Role in team with verbs [create]" in found["rights on inferenceservices"]["fix"]
    assert found["rights on trainjobs"]["says"] == "default-editor may get, create, delete in team"
    assert kubernetes.namespaces == {"team"}
    kubernetes.forbidden = {"/apis/authorization.k8s.io/v1/subjectaccessreviews"}
    _, found = doctor(kubernetes, kfp, tmp_path, "--service-account", "default-editor")
    assert found["rights on inferenceservices"]["state"] == "note"


def test_servers_that_are_down_are_findings_and_no_tracebacks(
    kubernetes: Kubernetes, kfp: KfpServer, tmp_path: Path
) -> None:
    kubernetes.url = "http://127.0.0.1:9"
    status, found = doctor(kubernetes, kfp, tmp_path, "--host", "http://127.0.0.1:9")
    assert status == 1
    assert "cannot be reached (connection refused)" in found["Kubeflow Pipelines"]["says"]
    assert "does not answer" in found["Kubernetes"]["says"]


def test_a_file_that_is_no_compiled_pipeline_is_told(tmp_path: Path) -> None:
    for content in ("x: 1", "{", ""):
        (tmp_path / "x.yaml").write_text(content)
        with pytest.raises(UserError, match=r"x\.yaml: is no compiled pipeline"):
            needs.needs_of((tmp_path / "x.yaml",))
    with pytest.raises(UserError, match="cannot be read"):
        needs.needs_of((tmp_path / "none.yaml",))


def test_a_machine_without_compiler_python_or_room_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(environments.ENVIRONMENTS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    monkeypatch.setattr(machine, "ENVIRONMENT_BYTES", 1e18)
    found = {finding.check: finding for finding in machine.check_machine()}
    assert found["c++ compiler"].state == found["disk"].state == "wrong"
    assert "apt-get install g++" in found["c++ compiler"].fix
    assert found["environments"].fix == "run `mainspring setup`"


def test_every_finding_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [MAINSPRING, "doctor", "--no-cluster"], capture_output=True, text=True, timeout=60, check=False
    )
    assert all(re.match(r"(ok   |note |wrong) \S", line) for line in done.stdout.splitlines()), done.stdout
    assert "python" in done.stdout
