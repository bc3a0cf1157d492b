"""The Kubernetes API: repeated where that is safe, with timeouts, and with errors that say what to do.

Credentials come from where the `kubernetes` client finds them: the pod's service account, or a kubeconfig. What is
asked here is safe to repeat: reads, and writes that are bound to a resource version.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError

MANAGER = "mainspring"
"""The field manager: fields that others set stay theirs."""

CALL_SECONDS = 20.0
"""How long one call may take."""

PATIENCE_SECONDS = 60.0
"""How long a call that fails in passing (429, 5xx, a reset, an expired token) is repeated."""

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds between two tries: each pause is twice the one before."""
CONFLICTS = 10
CONFLICT_SECONDS = 0.5
SAID_SECONDS = 2.0
"""From a pause of this length on, it is said that the API is waited for."""
IN_PASSING = (408, 425, 429, 500, 502, 503, 504)
UNDECLARED = "failed to create typed patch object"
"""In an answer of status 500: the schema does not know a field that was applied. Asking again changes nothing."""


class ApiError(UserError):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_unanswered(self) -> bool:
        """Whether nobody answered, or said to come later, as long as it was asked."""
        return not self.status or (self.status in (401, *IN_PASSING) and not self.refuses)

    @property
    def refuses(self) -> bool:
        """Whether the server looked at what was sent and will not have it: a schema, a webhook, or a right."""
        return self.status in (400, 403, 422) or (self.status == 500 and UNDECLARED in str(self))


@dataclass
class Api:
    """A connection to a cluster; made by `connect`."""

    client: Any
    """`kubernetes.client.ApiClient`."""
    patience: float | None = None
    """Seconds that a call which fails in passing is repeated; None: `PATIENCE_SECONDS`."""

    def get(self, path: str, **query: Any) -> Any:
        """Returns an object, or None if there is none."""
        try:
            return self.call("GET", path, query=query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def glance(self, path: str, **query: Any) -> Any:
        """Returns what one call gives, or None whatever is wrong: for what only helps to explain."""
        status, text, _ = self._once("GET", path, None, query, "application/json")
        return text if status == 200 else None

    def create(self, path: str, body: dict[str, Any]) -> Any:
        """Creates an object as our field manager."""
        return self.call("POST", path, body, query={"fieldManager": MANAGER})

    def apply(self, path: str, body: dict[str, Any]) -> Any:
        """Applies our fields of an object; those of other managers stay."""
        query = {"fieldManager": MANAGER, "force": "true"}
        return self.call("PATCH", path, body, query=query, kind="application/apply-patch+yaml")

    def rehearse(self, path: str, body: dict[str, Any]) -> None:
        """Asks whether an object would be taken: the schema, every webhook and our rights judge, and nothing is kept.

        Raises:
            ApiError: It would not, or nobody answers.
        """
        query = {"fieldManager": MANAGER, "force": "true", "dryRun": "All"}
        self._unless_in_conflict("PATCH", path, body, query=query, kind="application/apply-patch+yaml")

    def delete(self, path: str) -> None:
        """Deletes an object; one that is not there is deleted."""
        try:
            self._unless_in_conflict("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    def _unless_in_conflict(self, *arguments: Any, **more: Any) -> None:
        """Calls again where somebody wrote the object at the same moment, such as KServe's webhook."""
        for left in reversed(range(CONFLICTS)):
            try:
                self.call(*arguments, **more)
                return
            except ApiError as error:
                if error.status != 409 or not left:
                    raise
                time.sleep(CONFLICT_SECONDS)

    def may(self, **asked: str) -> bool:
        """Returns whether this account may do something: `namespace`, `verb`, `resource`, and more where it is needed.

        Raises:
            ApiError: The question was refused, or not answered in time.
        """
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {name: value for name, value in asked.items() if value}},
        }
        answer = self.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(answer.get("status", {}).get("allowed"))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        kind: str = "application/json",
    ) -> Any:
        """Sends a request until it is answered, and returns the parsed answer.

        Raises:
            ApiError: It was refused, or not answered in time; the message names the path and the server's reason.
        """
        patience = PATIENCE_SECONDS if self.patience is None else self.patience
        deadline, pause, renewed = time.monotonic() + patience, FIRST_PAUSE, False
        while True:
            status, text, after = self._once(method, path, body, query or {}, kind)
            if 200 <= status < 300:
                return json.loads(text) if text.strip().startswith(("{", "[")) else text
            if status == 401 and not renewed:
                # Tokens of service accounts expire and are renewed on disk.
                self.client, renewed = _client(), True
                continue
            pause = min(max(after, pause * 2), LONGEST_PAUSE)
            final = status and (status not in IN_PASSING or UNDECLARED in text)
            if final or time.monotonic() + pause > deadline:
                raise ApiError(status, f"Kubernetes API: {method} {path}: {_said(status, text)}")
            if pause >= SAID_SECONDS:
                print(
                    f"the Kubernetes API does not answer ({status or text}): asking again in {pause:.0f} s", flush=True
                )
            time.sleep(pause)

    def _once(self, method: str, path: str, body: Any, query: dict[str, Any], kind: str) -> tuple[int, str, float]:
        """Returns status (0: no answer), text and the seconds after which the server wants to be asked again."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json", **({"Content-Type": kind} if body is not None else {})}
        try:
            answer = self.client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=(min(5.0, CALL_SECONDS), CALL_SECONDS),
            )[0]
            return answer.status, answer.data.decode(errors="replace"), 0.0
        except ApiException as error:
            text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
            after = (error.headers or {}).get("Retry-After", "")
            return error.status or 0, text or str(error.reason), float(after) if str(after).isdigit() else 0.0
        except (HTTPError, OSError) as error:
            return 0, f"no answer: {error}", 0.0


def connect(patience: float | None = None) -> Api:
    """Connects to the cluster of the pod, or of the kubeconfig's current context.

    Args:
        patience: Seconds that a call which fails in passing is repeated; None: a minute.

    Raises:
        UserError: There is no configuration, or nobody answers.
    """
    return Api(_client(), patience)


def namespace() -> str:
    """Returns the namespace of the pod, or of the kubeconfig's current context."""
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    with contextlib.suppress(OSError):
        return POD_NAMESPACE.read_text().strip()
    with contextlib.suppress(ConfigException, OSError, KeyError):
        return str(config.list_kube_config_contexts()[1]["context"]["namespace"])
    return "default"


def _client() -> Any:
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    configuration = client.Configuration()
    try:
        try:
            config.load_incluster_config(configuration)
        except ConfigException:
            config.load_kube_config(client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise UserError(
            f"no Kubernetes configuration ({error}); run this in the cluster, or point $KUBECONFIG at one"
        ) from error
    configuration.retries = False
    return client.ApiClient(configuration)


def _said(status: int, text: str) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        text = json.loads(text).get("message", text)
    return f"{status}: {text[:400]}" if status else text[:400]
