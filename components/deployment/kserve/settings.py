"""KServe's own settings, where this account may read them: they say more than any version number."""

from __future__ import annotations

import json
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.kubernetes_api import Api

NAMESPACES = ("kserve", "kubeflow")
"""Where KServe may be installed; Kubeflow puts it into its own namespace."""


def read(api: Api, key: str) -> dict[str, Any]:
    """Returns a part of the ConfigMap `inferenceservice-config`; empty where it cannot be read, or has no such part."""
    for namespace in NAMESPACES:
        try:
            found = api.get(f"/api/v1/namespaces/{namespace}/configmaps/inferenceservice-config")
            content = json.loads((found or {})["data"][key])
        except (UserError, KeyError, TypeError, ValueError):
            continue
        if isinstance(content, dict):
            return content
    return {}
