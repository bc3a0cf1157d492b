"""A compiled pipeline as Kubernetes objects, which Kubeflow Pipelines reads in its Kubernetes-native mode."""

from __future__ import annotations

from typing import Any

import yaml

from mainspring.pipelines.cluster import uploads

API_VERSION = "pipelines.kubeflow.org/v2beta1"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def objects(text: str, namespace: str = "") -> list[dict[str, Any]]:
    """Returns a Pipeline and a PipelineVersion; the version is named by its content, so that applying it twice is once.

    Args:
        text: The compiled pipeline.
        namespace: Of the objects; empty: whichever they are applied to.
    """
    prepared = uploads.prepare_text(text)
    documents = list(yaml.load_all(text, _Loader))
    place = {"namespace": namespace} if namespace else {}
    description = documents[0].get("pipelineInfo", {}).get("description", "")
    pipeline = {
        "apiVersion": API_VERSION,
        "kind": "Pipeline",
        "metadata": {"name": prepared.name, **place},
        "spec": {"displayName": prepared.name, **({"description": description} if description else {})},
    }
    version = {
        "apiVersion": API_VERSION,
        "kind": "PipelineVersion",
        "metadata": {"name": f"{prepared.name}-{prepared.version}", **place},
        "spec": {
            "displayName": prepared.version,
            "pipelineName": prepared.name,
            "pipelineSpec": documents[0],
            "description": f"sha256:{prepared.digest}",
            **({"platformSpec": documents[1]} if len(documents) > 1 else {}),
        },
    }
    return [pipeline, version]


def as_yaml(text: str, namespace: str = "") -> str:
    """Returns the objects as YAML, ready for `kubectl apply`."""
    return yaml.safe_dump_all(objects(text, namespace), sort_keys=False, allow_unicode=True)
