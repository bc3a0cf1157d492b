"""The clusters of the tests of this folder: one for each release of KServe, and one for each of Trainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mainspring.components.deployment import judgement, targets
from mainspring.components.deployment.targets import Target
from mainspring.pipelines import environments
from tests import run_in_environments
from tests.cluster import control_plane, katib, kserve, kueue, pods, programs, trained
from tests.cluster.control_plane import ControlPlane
from tests.cluster.models import Models

sys.path.append(str(run_in_environments.tools(environments.environment("deployment"))))
sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "components" / "deployment" / "kserve")]

NAMESPACE = "team"
ROLE = Path(__file__).parents[2] / "manifests" / "base" / "runner-role.yaml"
RUNNER = "runner"
RELEASES = tuple(programs.KSERVE)
TRAINERS = tuple(programs.TRAINER)


@dataclass
class Cluster:
    """A control plane with KServe on it, as the account sees it that deploys."""

    release: str
    plane: ControlPlane
    kubelet: pods.Kubelet
    target: Target = field(default_factory=lambda: targets.parse(f"kserve://{NAMESPACE}/flights"))

    def services(self) -> list[str]:
        """Returns the names of the InferenceServices that there are."""
        return self.names("/apis/serving.kserve.io/v1beta1", "inferenceservices")

    def names(self, group: str, kind: str) -> list[str]:
        """Returns the names of the team's objects of a kind."""
        found = self.plane.call("GET", f"{group}/namespaces/{NAMESPACE}/{kind}")
        return sorted(each["metadata"]["name"] for each in found["items"])


OPTIONS = {"cluster": ("--kserve", "KServe", RELEASES), "training": ("--trainer", "Trainer", TRAINERS)}
"""By the fixture whose cluster it is."""


def pytest_addoption(parser: pytest.Parser) -> None:
    for option, what, releases in OPTIONS.values():
        words = f"releases of {what}, of {', '.join(releases)}; empty: all; none: none"
        parser.addoption(option, default="", help=words)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, (option, _, releases) in OPTIONS.items():
        if fixture not in metafunc.fixturenames:
            continue
        wanted = metafunc.config.getoption(option).replace(",", " ").split() or [*releases]
        wanted = [] if wanted == ["none"] else wanted
        if unknown := sorted({*wanted} - {*releases}):
            raise pytest.UsageError(f"{option} {' '.join(unknown)}: there are {', '.join(releases)}")
        metafunc.parametrize(fixture, wanted, indirect=True, scope="session")


@pytest.fixture(scope="session")
def cluster(request, tmp_path_factory) -> Iterator[Cluster]:
    """A cluster with each release of KServe in turn, reached by an account that has the rights of our Role alone."""
    if lacking := programs.missing() or pods.can_run():
        pytest.skip(f"no cluster can be brought up here: {lacking}")
    folder = tmp_path_factory.mktemp(f"kserve-{request.param}")
    with control_plane.running(folder, workloads=True) as plane, pods.running(plane) as kubelet:
        plane.namespace(NAMESPACE)
        (role, _, *_) = control_plane.documents(ROLE)
        place = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
        name = role["metadata"]["name"]
        plane.apply(f"{place}/roles/{name}", role)
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": RUNNER}
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name}}
        plane.apply(f"{place}/rolebindings/{name}", {**binding, "roleRef": reference, "subjects": [subject]})
        kserve.install(plane, request.param)
        with pytest.MonkeyPatch.context() as patch:
            config = str(plane.credentials(RUNNER))
            patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", config)
            patch.setattr(judgement, "SLOWER_SECONDS", 1.0)  # A busy machine is no slow model.
            yield Cluster(request.param, plane, kubelet)


@pytest.fixture(scope="session")
def training(request, tmp_path_factory) -> Iterator[trained.Cluster]:
    """A cluster with each release of Trainer in turn, with our manifests, reached by the account of runs."""
    if lacking := programs.missing():
        pytest.skip(f"no cluster can be brought up here: {lacking}")
    with trained.running(tmp_path_factory.mktemp(f"trainer-{request.param}"), request.param) as found:
        yield found


@pytest.fixture(scope="module")
def tuning(training) -> Iterator[katib.Services]:
    """Katib on such a cluster, set up for namespaces that enforce "restricted"."""
    with katib.running(training.plane, restricted=True) as services:
        yield services


@pytest.fixture(scope="module")
def queues(training) -> Iterator[None]:
    """Kueue on such a cluster."""
    with kueue.running(training.plane):
        yield


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[None]:
    """A real server of Google's storage protocol."""
    from gcs_server import google_storage

    with google_storage():
        yield


@pytest.fixture
def models(bucket_server, tmp_path) -> Models:
    """Blessed models to deploy, and an empty models root in a bucket."""
    return Models.in_new_bucket(tmp_path)
