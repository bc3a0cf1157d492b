"""The programs of a test cluster: built from Go modules, once for each version, and kept in a cache.

Each folder of `programs/` is a Go module that requires one program in one version. What that needs follows from it,
always the same (Go takes the lowest versions that will do), and Go checks each against its public checksum database. A
binary is kept under its module's content, so that another version is another binary.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "programs"
CACHE = "MAINSPRING_CLUSTER_CACHE"
"""Environment variable: where binaries are kept; by default `~/.cache/mainspring/cluster`."""

BUILDERS = "2"
"""Compilers at once: a machine of two cores has other work, too."""


@dataclass(frozen=True)
class Program:
    """One command of a Go module."""

    folder: str
    """Its module, a folder of `programs/`."""
    module: str
    """The module that the command comes from."""
    package: str
    """The command's package, relative to the module; empty: the module's own."""

    @property
    def version(self) -> str:
        """The version of the module that is pinned, such as `v1.34.4`."""
        text = (FOLDER / self.folder / "go.mod").read_text()
        found = re.search(rf"^(?:require\s+|\s+){re.escape(self.module)} (v\S+)", text, re.MULTILINE)
        assert found, f"programs/{self.folder}/go.mod does not require {self.module}"
        return found[1]


KUBE_APISERVER = Program("kubernetes-1.34", "k8s.io/kubernetes", "cmd/kube-apiserver")
KUBE_CONTROLLER_MANAGER = Program("kubernetes-1.34", "k8s.io/kubernetes", "cmd/kube-controller-manager")
KSERVE = {
    minor: Program(f"kserve-{minor}", "github.com/kserve/kserve", "cmd/manager") for minor in ("0.15", "0.16", "0.20")
}
TRAINER = {
    minor: Program(f"trainer-{minor}", "github.com/kubeflow/trainer/v2", "cmd/trainer-controller-manager")
    for minor in ("2.1", "2.3")
}
JOBSET = {
    trainer: Program(f"jobset-{minor}", "sigs.k8s.io/jobset", "")
    for trainer, minor in (("2.1", "0.10"), ("2.3", "0.12"))
}
"""By Trainer's release: the one that it is published with."""
KATIB = Program("katib-0.19", "github.com/kubeflow/katib", "cmd/katib-controller/v1beta1")
KUEUE = Program("kueue-0.17", "sigs.k8s.io/kueue", "cmd/kueue")


def missing() -> str:
    """Returns which of the tools that this takes are not on this machine, in words; empty: none."""
    lacking = [
        what for what, tool in {"Go": "go", "etcd (Debian: etcd-server)": "etcd"}.items() if not shutil.which(tool)
    ]
    return " and ".join(lacking)


@functools.cache
def build(program: Program) -> Path:
    """Returns the program's binary; builds it where the cache has none.

    Raises:
        RuntimeError: It does not build; the message has the compiler's last lines.
    """
    folder = _workplace(program)
    package = f"{program.module}/{program.package}".rstrip("/")
    binary = folder / package.rpartition("/")[2]
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.is_file():
            print(f"builds {package} {program.version}: minutes, the first time", flush=True)
            aside = binary.with_suffix(".new")
            major, minor = program.version.lstrip("v").split(".")[:2]
            said = "k8s.io/component-base/version.git"
            flags = f"-s -w -X {said}Version={program.version} -X {said}Major={major} -X {said}Minor={minor}"
            _go(folder, "build", "-p", BUILDERS, "-ldflags", flags, "-o", str(aside), package)
            aside.rename(binary)
    return binary


@functools.cache
def sources(program: Program) -> Path:
    """Returns the folder of the module's sources, where its manifests lie, too."""
    found = json.loads(_go(_workplace(program), "mod", "download", "-json", program.module))
    return Path(found["Dir"])


def _workplace(program: Program) -> Path:
    """Returns the folder of a program's module in the cache, where Go may write down what follows from it."""
    content = (FOLDER / program.folder / "go.mod").read_bytes()
    folder = cache() / f"{program.folder}-{hashlib.sha256(content).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "go.mod").is_file():
        (folder / "go.mod").write_bytes(content)
    return folder


def cache() -> Path:
    """Returns the folder of built programs."""
    named = os.environ.get(CACHE)
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(named) if named else home / "mainspring" / "cluster"


def _go(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    command = ["nice", "-n", "10", "go", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"go {' '.join(arguments)} in {folder}: {done.stderr[-2000:]}")
    return done.stdout
