"""Where a cluster's API is, and as whom it is asked: the pod's service account, or a kubeconfig's current context.

By lightkube, for its configuration alone: the reference client brings 30 MB of classes for every kind of object that
there is, and takes a second to import them.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from mainspring.components.common.errors import UserError

if TYPE_CHECKING:
    import httpx2
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import UserExec

CONNECT_SECONDS = 5.0
CALL_SECONDS = 20.0
"""How long one call may take."""

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds its token, renewed there before it expires."""

EXEC_API = "client.authentication.k8s.io/"


def client() -> httpx2.Client:
    """Returns an HTTP client of the cluster's API that knows its address, its certificates and our token.

    Raises:
        UserError: There is no configuration, or it is of no use.
    """
    import httpx2
    import yaml
    from lightkube.config.client_adapter import Client, ConnectionParams
    from lightkube.core.exceptions import ConfigError

    timeout = httpx2.Timeout(CALL_SECONDS, connect=min(CONNECT_SECONDS, CALL_SECONDS))
    try:
        return Client(_configuration(), ConnectionParams(timeout=timeout))
    except KeyError as error:
        raise _unusable(f"{error} is missing") from error
    except (ConfigError, OSError, ValueError, TypeError, AttributeError, httpx2.InvalidURL, yaml.YAMLError) as error:
        raise _unusable(" ".join(str(error).split())) from error


def _unusable(reason: str) -> UserError:
    return UserError(f"no Kubernetes configuration ({reason}); run this in the cluster, or point $KUBECONFIG at one")


def _configuration() -> SingleConfig:
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.config.models import User

    files = [file for file in os.environ.get("KUBECONFIG", "").split(os.pathsep) if file]
    if len(files) > 1:
        raise ValueError(
            f"$KUBECONFIG names {len(files)} files; name one, such as `kubectl config view --flatten` makes"
        )
    found = KubeConfig.from_env(SERVICE_ACCOUNT).get()
    assert found is not None, "lightkube gives nothing only where a default was asked for"
    user = found.user or User()
    if user.exec:
        _explain(user.exec)
    return found._replace(user=user)


def _explain(program: UserExec) -> None:
    """Tells a credential plugin what is asked of it, as kubectl does.

    lightkube does not, and takes the first two versions of the protocol only; in the third, `v1`, the token that it
    reads stands in the same place.
    """
    from lightkube.config.models import NameValue

    asked = {"apiVersion": program.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    program.env = [*(program.env or ()), NameValue("KUBERNETES_EXEC_INFO", json.dumps(asked))]
    if program.apiVersion == f"{EXEC_API}v1":
        program.apiVersion = f"{EXEC_API}v1beta1"
