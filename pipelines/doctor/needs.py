"""What compiled pipelines ask of a cluster: node pools and images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mainspring.components.common.errors import UserError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Pool:
    """The nodes that one step can run on."""

    step: str
    labels: tuple[tuple[str, str], ...]
    resource: str
    count: int

    def words(self) -> str:
        """Returns it in words: `2 nvidia.com/gpu and cloud.google.com/gke-accelerator=nvidia-l4`."""
        wanted = [f"{self.count} {self.resource}"] if self.resource else []
        return " and ".join([*wanted, *(f"{key}={value}" for key, value in self.labels)])

    def fits(self, node: dict[str, Any]) -> bool:
        """Whether a node of the Kubernetes API's has the labels and, in all, the accelerators."""
        labels = node.get("metadata", {}).get("labels") or {}
        has = int((node.get("status", {}).get("allocatable") or {}).get(self.resource, 0)) if self.resource else 0
        return all(labels.get(key) == value for key, value in self.labels) and has >= self.count


@dataclass(frozen=True)
class Needs:
    """What some compiled pipelines ask for."""

    pools: tuple[Pool, ...] = ()
    images: tuple[str, ...] = ()


def needs_of(paths: tuple[Path, ...]) -> Needs:
    """Reads compiled pipelines.

    Raises:
        UserError: A file cannot be read, or is none.
    """
    pools: dict[Pool, None] = {}
    images: dict[str, None] = {}
    for path in paths:
        try:
            documents = list(yaml.load_all(path.read_text(encoding="utf-8"), _Loader))
            executors = documents[0]["deploymentSpec"]["executors"]
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, KeyError, TypeError, IndexError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: is no compiled pipeline; make one with `mainspring compile`") from error
        platform = documents[1] if len(documents) > 1 else {}
        specs = (((platform.get("platforms") or {}).get("kubernetes") or {}).get("deploymentSpec") or {}).get(
            "executors", {}
        )
        for name, executor in executors.items():
            container = executor.get("container") or {}
            images.setdefault(container.get("image", ""))
            pool = _pool(name.removeprefix("exec-"), container, specs.get(name) or {})
            if pool.labels or pool.resource:
                pools.setdefault(pool)
    return Needs(tuple(pools), tuple(filter(None, images)))


def _pool(step: str, container: dict[str, Any], platform: dict[str, Any]) -> Pool:
    accelerator = (container.get("resources") or {}).get("accelerator") or {}
    selector = platform.get("nodeSelector") or {}
    labels = dict(selector.get("labels") or {})
    count = int(accelerator.get("count") or accelerator.get("resourceCount") or 0)
    resource = str(accelerator.get("resourceType") or accelerator.get("type") or "")
    fixed = {key: str(value) for key, value in labels.items() if "{{" not in str(value)}
    return Pool(step, tuple(sorted(fixed.items())), "" if "{{" in resource else resource, count)
