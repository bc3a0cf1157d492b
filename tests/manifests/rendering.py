"""Renders the overlays with the real kubectl, whose binary comes with the development tools."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).parents[2] / "manifests"
OVERLAYS = tuple(sorted(path.name for path in (MANIFESTS / "overlays").iterdir()))
KUBECTL = Path(sys.executable).parent / "kubectl"

Manifest = dict[str, Any]


@functools.cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    """Returns the objects of an overlay."""
    return render(MANIFESTS / "overlays" / overlay)


def render(folder: Path) -> tuple[Manifest, ...]:
    """Returns the objects of a folder with a kustomization."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def one(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """Returns the object of a kind and name; a generated name's hash may be left out."""
    (found,) = [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", manifest["metadata"]["name"])
    ]
    return found


def pods(tree: Any, labels: dict[str, str] | None = None) -> Iterator[tuple[dict[str, str], Manifest]]:
    """Yields every pod in an object, however deep in templates of templates: its labels, and its specification."""
    if isinstance(tree, list):
        for item in tree:
            yield from pods(item)
    elif isinstance(tree, dict):
        if isinstance(tree.get("containers"), list):
            # A ServingRuntime's specification is itself the pod's, its labels beside the containers.
            yield (labels or tree.get("labels", {})), tree
        else:
            own = tree.get("metadata", {}).get("labels", {}) if isinstance(tree.get("metadata"), dict) else {}
            for value in tree.values():
                yield from pods(value, own)
