"""One namespace of a Kubeflow Pipelines server, and the questions that every part of the client asks of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster.rest import Api, Json

API = "apis/v2beta1"


@dataclass(frozen=True)
class Server:
    """Where requests go and in whose name."""

    api: Api
    namespace: str
    """Empty where the server has no namespaces (single-user mode)."""
    ui: str
    """The address that people open; empty if only the UI itself knows it."""
    experiment: str
    """Of runs and schedules that name none."""

    def link(self, kind: str, identity: str) -> str:
        """Returns the UI's page of a run, recurring run or pipeline."""
        return f"{self.ui or '/pipeline'}/#/{kind}/details/{identity}"

    def experiment_id(self, name: str, *, create: bool = True) -> str:
        """Returns an experiment's id; makes it if it is not there and `create`; empty otherwise."""
        found = find(self, "experiments", name, "experiments")
        if found is None and create:
            found = self.api.post(f"{API}/experiments", {"display_name": name, **in_namespace(self)})
        return str(found["experiment_id"]) if found else ""


def find(server: Server, path: str, name: str, field: str) -> Json | None:
    """Returns the one item of a list whose display name is `name`; None if there is none.

    Raises:
        UserError: There are several.
    """
    found = list(server.api.pages(f"{API}/{path}", field, filter=named(name), **in_namespace(server)))
    if len(found) > 1:
        raise UserError(
            f"{server.api.url}: has {len(found)} {field} of the name {name!r}; rename or delete all but one"
        )
    return found[0] if found else None


def named(name: str, key: str = "display_name") -> str:
    """Returns KFP's filter for an exact value of one field."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "string_value": name}]})


def in_namespace(server: Server) -> Json:
    """Returns the namespace as a field of a request; nothing where there are no namespaces."""
    return {"namespace": server.namespace} if server.namespace else {}
