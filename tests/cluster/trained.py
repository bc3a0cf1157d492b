"""A cluster that trains: Trainer, JobSet and KServe with all webhooks, and our manifests, applied by kubectl."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import control_plane, kserve, trainer, workers
from tests.cluster.control_plane import ControlPlane
from tests.cluster.workers import Workers

MANIFESTS = Path(__file__).parents[2] / "manifests"
KUBECTL = Path(sys.executable).parent / "kubectl"
NAMESPACE = "team"
RUNNER = "mainspring-runner"
JOBS = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs"
JOBSETS = f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{NAMESPACE}/jobsets"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
KSERVE = {"2.1": "0.16", "2.3": "0.20"}
"""What stands beside Trainer's release: 26.03 of Kubeflow has 2.1 and 0.16."""

Play = Callable[[Workers, dict[str, Any]], None]


@dataclass
class Cluster:
    """A control plane with Trainer on it, and who plays its pods."""

    release: str
    plane: ControlPlane
    workers: Workers

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """Runs kubectl as the administrator, and returns what it says."""
        command = [KUBECTL, f"--kubeconfig={self.plane.kubeconfig}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert not check or not done.returncode, done.stderr
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def playing(self, play: Play) -> Iterator[list[dict[str, Any]]]:
        """Lets new pods be played otherwise within a block; yields the pods that there were."""
        before = self.workers.play
        made: list[dict[str, Any]] = []

        def noted(workers: Workers, pod: dict[str, Any]) -> None:
            if pod["metadata"].get("labels", {}).get("mainspring.dev/role") != "trainer":
                return before(workers, pod)
            made.append(pod)
            return play(workers, pod)

        self.workers.play = noted
        try:
            yield made
        finally:
            self.workers.play = before

    def names(self, place: str, **query: str) -> list[str]:
        """Returns the names of what there is at a path."""
        return sorted(each["metadata"]["name"] for each in self.plane.call("GET", place, **query)["items"])

    def trainings(self) -> list[str]:
        """Returns the names of everything that trains or did: TrainJobs, JobSets, pods."""
        pods = self.names(PODS, labelSelector="mainspring.dev/role=trainer")
        return [*self.names(JOBS), *self.names(JOBSETS), *pods]


@contextlib.contextmanager
def running(folder: Path, release: str) -> Iterator[Cluster]:
    """Brings up a cluster with a release of Trainer, and the account of our manifests to reach it with."""
    with (
        control_plane.running(folder) as plane,
        workers.running(plane, lambda played, pod: played.run(pod)) as played,
        pytest.MonkeyPatch.context() as patch,
    ):
        trainer.install(plane, release)
        kserve.install(plane, KSERVE[release])
        plane.act_on_workloads()
        cluster = Cluster(release, plane, played)
        cluster.kubectl("apply", "-k", str(MANIFESTS / "overlays" / "kind"))
        plane.wait(lambda: _is_counted(plane))  # Until then nothing that the quota counts is taken.
        config = str(plane.account(NAMESPACE, RUNNER))
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", config)
        yield cluster


def _is_counted(plane: ControlPlane) -> bool:
    quota = plane.get(f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/mainspring")
    return bool(quota and quota["spec"]["hard"].keys() <= quota.get("status", {}).get("used", {}).keys())
