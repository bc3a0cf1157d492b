"""Real Kubeflow Trainer and JobSet on a control plane: their managers as processes, with definitions and webhooks."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane, documents, free_port
from tests.cluster.managers import READY_SECONDS, configuration, folder_with_certificates, register

TRAINER_NAMESPACE, JOBSET_NAMESPACE = "kubeflow-system", "jobset-system"


def install(plane: ControlPlane, minor: str) -> None:
    """Starts JobSet and Trainer on a control plane, and returns once their webhooks judge.

    Args:
        plane: The control plane.
        minor: Trainer's version: `2.1` or `2.3`; JobSet is the release that it is published with.
    """
    jobset = programs.sources(programs.JOBSET[minor]) / "config/components"
    plane.define(documents(jobset / "crd/bases/jobset.x-k8s.io_jobsets.yaml"))
    trainer = programs.sources(programs.TRAINER[minor]) / "manifests/base"
    plane.define([each for path in sorted((trainer / "crds").glob("trainer.*.yaml")) for each in documents(path)])
    _start_jobset(plane, minor, jobset / "webhook/manifests.yaml")
    _start_trainer(plane, minor, trainer / "webhook/manifests.yaml")


def _start_jobset(plane: ControlPlane, minor: str, webhooks: Path) -> None:
    plane.namespace(JOBSET_NAMESPACE)
    port, health, folder = free_port(), free_port(), folder_with_certificates(plane, "jobset")
    settings = {
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "internalCertManagement": {"enable": False},
        "leaderElection": {"leaderElect": False},
        "webhook": {"port": port},
    }
    command = [
        str(programs.build(programs.JOBSET[minor])),
        f"--config={configuration(folder, settings)}",
        f"--kubeconfig={plane.kubeconfig}",
        f"--health-probe-bind-address=127.0.0.1:{health}",
        "--metrics-bind-address=0",
    ]
    manager = plane.run("jobset", command, {**os.environ, "TMPDIR": str(folder)})
    manager.wait_ready(f"http://127.0.0.1:{health}/readyz", READY_SECONDS)
    register(plane, "jobset", webhooks, port)


def _start_trainer(plane: ControlPlane, minor: str, webhooks: Path) -> None:
    plane.namespace(TRAINER_NAMESPACE)
    port, health, folder = free_port(), free_port(), folder_with_certificates(plane, "trainer")
    settings = {
        "apiVersion": "config.trainer.kubeflow.org/v1alpha1",
        "kind": "Configuration",
        "certManagement": {"enable": False},
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "leaderElection": {"leaderElect": False},
        "metrics": {"bindAddress": "0", "secureServing": False},
        "webhook": {"host": "127.0.0.1", "port": port},
    }
    command = [
        str(programs.build(programs.TRAINER[minor])),
        f"--config={configuration(folder, settings)}",
        f"--kubeconfig={plane.kubeconfig}",
    ]
    manager = plane.run("trainer", command, {**os.environ, "TMPDIR": str(folder)})
    manager.wait_ready(f"http://127.0.0.1:{health}/readyz", READY_SECONDS)
    register(plane, "trainer", webhooks, port)
