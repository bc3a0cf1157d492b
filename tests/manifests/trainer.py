"""What Kubeflow Trainer and JobSet make of a TrainJob, as far as a pod of ours can see it.

Stands for the two controllers where pods really run, which takes no cluster. What they give a pod is what the real ones
do in `tests/cluster`: the runtime's pod template, the TrainJob's environment, the Torch policy's variables, a name for
each pod in the headless service.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mainspring.pipelines import environments
from tests.manifests.rendering import Manifest

PORT = 29500
CAN_MAKE_NETWORKS = os.geteuid() == 0 and shutil.which("ip") is not None


@dataclass(frozen=True)
class Pod:
    """One pod: its host name in the job's service, and the container it runs."""

    name: str
    host: str
    command: tuple[str, ...]
    variables: dict[str, str]


def pods_of(job: Manifest, runtime: Manifest) -> list[Pod]:
    """Returns the pods of a TrainJob on a ClusterTrainingRuntime."""
    name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
    count = trainer.get("numNodes", runtime["spec"]["mlPolicy"]["numNodes"])
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
    assert "torch" in runtime["spec"]["mlPolicy"]
    variables = {item["name"]: item["value"] for item in [*container.get("env", []), *trainer.get("env", [])]}
    group = f"{name}-{replicated['name']}-0"
    return [
        Pod(
            name=f"{group}-{index}",
            host=f"{group}-{index}.{name}",
            command=tuple(trainer.get("command", container["command"])),
            variables=copy.deepcopy(variables)
            | {
                "PET_MASTER_ADDR": f"{group}-0.{name}",
                "PET_MASTER_PORT": str(PORT),
                "PET_NNODES": str(count),
                "PET_NODE_RANK": str(index),
                "JOB_COMPLETION_INDEX": str(index),
            },
        )
        for index in range(count)
    ]


@contextlib.contextmanager
def network_of(pods: list[Pod]) -> Iterator[dict[str, str]]:
    """Gives each of two pods a network of its own, in which both find each other by name; yields them by pod name."""
    first, second = pods
    tag = uuid.uuid4().hex[:6]
    spaces = {pod.name: f"ms{tag}{number}" for number, pod in enumerate(pods)}
    hosts = "127.0.0.1 localhost\n" + "".join(f"10.213.7.{n + 1} {pod.host}\n" for n, pod in enumerate(pods))
    try:
        for space in spaces.values():
            _ip("netns", "add", space)
            Path(f"/etc/netns/{space}").mkdir(parents=True)
            Path(f"/etc/netns/{space}/hosts").write_text(hosts, encoding="utf-8")
        ends = [f"v{tag}a", f"v{tag}b"]
        _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (pod, end) in enumerate(zip((first, second), ends, strict=True)):
            space = spaces[pod.name]
            _ip("link", "set", end, "netns", space)
            _ip("-n", space, "addr", "add", f"10.213.7.{number + 1}/24", "dev", end)
            _ip("-n", space, "link", "set", end, "up")
            _ip("-n", space, "link", "set", "lo", "up")
        yield spaces
    finally:
        for space in spaces.values():
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
            shutil.rmtree(f"/etc/netns/{space}", ignore_errors=True)


def start(pod: Pod, space: str, log: Path) -> subprocess.Popen[bytes]:
    """Starts a pod's container as a process in its network: the same command, the same environment and nothing else."""
    python, *rest = pod.command
    assert python == "python3"
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": "/tmp",
        "PYTHONPATH": str(environments.import_root()),
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    interpreter = str(environments.environment("training").python)
    with log.open("wb") as output:
        return subprocess.Popen(
            ["ip", "netns", "exec", space, interpreter, *rest],
            env=variables | pod.variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
