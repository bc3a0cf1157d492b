"""Mainspring: Kubeflow Pipelines components and pipelines that keep models fresh.

`mainspring.components` and `mainspring.pipelines` hold what there is; `run` runs a pipeline here, and `connect` is the
way to a cluster:

    import mainspring

    mainspring.run("continuous_training", {"source": "flights.csv", "label": "late", "target": "local://flights"})

    cluster = mainspring.connect(host="https://kubeflow.example.com", token="…")
    run = cluster.submit("continuous_training", {"source": "gs://…", "label": "late", "target": "kserve://team/flights"})
    run.wait()

Importing this package imports nothing else: the images hold it as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainspring.pipelines.cluster import Cluster as Cluster
    from mainspring.pipelines.cluster import connect as connect
    from mainspring.pipelines.running_here import run as run

_PLACES = {
    "Cluster": "mainspring.pipelines.cluster",
    "connect": "mainspring.pipelines.cluster",
    "run": "mainspring.pipelines.running_here",
}

__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
