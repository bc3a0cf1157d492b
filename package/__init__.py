"""Mainspring: Kubeflow Pipelines components and pipelines that keep models fresh.

`mainspring.components` and `mainspring.pipelines` hold what there is; `connect` is the way to a cluster:

    import mainspring

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

__all__ = ["Cluster", "connect"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import mainspring.pipelines.cluster as cluster

    return getattr(cluster, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
