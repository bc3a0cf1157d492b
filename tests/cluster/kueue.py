"""Real Kueue on a control plane: its manager as a process, with definitions and webhooks from its sources."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane, documents, free_port
from tests.cluster.managers import READY_SECONDS, certificates_at, configuration, folder_with_certificates, register

NAMESPACE = "kueue-system"
METRICS = Path("/etc/kueue/metrics/certs")
"""Where Kueue looks for its metrics' certificates, and nowhere else."""


@contextlib.contextmanager
def running(plane: ControlPlane) -> Iterator[None]:
    """Runs Kueue on a control plane that has Trainer, until the block ends; it queues TrainJobs."""
    sources = programs.sources(programs.KUEUE) / "config/components"
    plane.namespace(NAMESPACE)
    plane.define([each for path in sorted((sources / "crd/bases").glob("*.yaml")) for each in documents(path)])
    port, health, folder = free_port(), free_port(), folder_with_certificates(plane, "kueue")
    settings = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "integrations": {"frameworks": ["batch/job", "jobset.x-k8s.io/jobset", "trainer.kubeflow.org/trainjob"]},
        "internalCertManagement": {"enable": False},
        "leaderElection": {"leaderElect": False},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": port, "certDir": str(folder / "k8s-webhook-server/serving-certs")},
    }
    command = [
        str(programs.build(programs.KUEUE)),
        f"--config={configuration(folder, settings)}",
        f"--kubeconfig={plane.kubeconfig}",
        "--feature-gates=VisibilityOnDemand=false",
    ]
    with certificates_at(plane, "kueue-metrics", METRICS):
        manager = plane.run("kueue", command, {**os.environ, "TMPDIR": str(folder), "POD_NAMESPACE": NAMESPACE})
        manager.wait_ready(f"http://127.0.0.1:{health}/readyz", READY_SECONDS)
        places = register(plane, "kueue", sources / "webhook/manifests.yaml", port)
        try:
            yield
        finally:
            for place in places:
                plane.call("DELETE", place)
            manager.stop()
