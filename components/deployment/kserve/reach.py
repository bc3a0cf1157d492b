"""Asking a version for predictions, wherever this runs: by its cluster-local address, or through the Kubernetes API."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.kubernetes_api import Api, ApiError
from mainspring.components.deployment import judgement
from mainspring.components.deployment.kserve import cancelling, durations, objects
from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.deployment.replay import Replay
from mainspring.components.deployment.targets import Target

PAIRS = 20
"""Requests to each of two versions, in turns, from which their median latencies are compared."""


@dataclass(frozen=True)
class Address:
    """Where a version answers."""

    url: str
    """`http://host[:port]` of its own, or the path of the API's proxy."""
    model: str
    """The model's name in the protocol's paths: that of the InferenceService."""
    host: str = ""
    """The host name to ask a gateway for."""


def proxied(policy: ServingPolicy) -> bool:
    """Returns whether versions are asked through the Kubernetes API."""
    return policy.reach == "api" or (policy.reach == "auto" and "KUBERNETES_SERVICE_HOST" not in os.environ)


def standard(target: Target, policy: ServingPolicy) -> Address:
    """Returns where a service in Standard mode answers: by its own name, whatever serves it."""
    name = objects.predictor_name(target)
    if proxied(policy):
        return Address(f"/api/v1/namespaces/{target.namespace}/services/{name}:80/proxy", target.name)
    local = f"{name}.{target.namespace}.svc.cluster.local"
    if policy.reach.startswith("http"):
        return Address(policy.reach, target.name, local)
    return Address(f"http://{local}", target.name)


def address(
    target: Target, mode: str, policy: ServingPolicy, version: objects.Version, found: dict[str, Any]
) -> Address:
    """Returns where a version answers by itself; in Knative mode whatever its share of the traffic.

    Raises:
        UserError: It has no such address.
    """
    if mode == objects.STANDARD:
        return standard(target, policy)
    ready = objects.component(found).get("latestReadyRevision")
    shares = objects.component(found).get("traffic") or []
    tag = "latest" if _is_newest(found, version) else "prev"
    named = next((share for share in shares if share.get("tag") == tag and share.get("url")), None)
    url = (named or {}).get("url") or objects.component(found).get("url") or found.get("status", {}).get("url", "")
    if not url or not ready:
        raise UserError(f"kserve://{target.namespace}/{target.name}: Knative gives version {version.number} no address")
    if policy.reach.startswith("http"):
        return Address(policy.reach, target.name, urllib.parse.urlsplit(url).netloc)
    return Address(url, target.name)


def _is_newest(found: dict[str, Any], version: objects.Version) -> bool:
    specified = objects.specified(found)
    return specified is not None and specified.uri == version.uri


def parity(api: Api, place: Address, replay: Replay) -> list[str]:
    """Returns what is wrong with the predictions that are served for held-out rows; waits until there are any."""
    deadline = time.monotonic() + durations.ROUTE_SECONDS
    while True:
        try:
            served = predict(api, place, replay.rows)
            return judgement.of_parity(replay, served)
        except UserError as error:
            cancelling.check(place.model)
            if time.monotonic() > deadline:
                return [f"the held-out rows are not predicted: {error}"]
            time.sleep(durations.ROUTE_PAUSE_SECONDS)


def latency(api: Api, canary: Address, champion: Address, replay: Replay) -> list[str]:
    """Returns what is wrong with the canary's latency on single rows, beside the champion's at the same moment."""
    took: dict[Address, list[float]] = {canary: [], champion: []}
    for pair in range(PAIRS):
        for place in (champion, canary):
            began = durations.clock()
            try:
                predict(api, place, [replay.rows[pair % len(replay.rows)]])
            except UserError as error:
                if place == canary:
                    return [f"a held-out row is not predicted: {error}"]
                continue  # A champion with other features refuses these rows: there is nothing to compare with.
            took[place].append(durations.clock() - began)
    if len(took[champion]) < PAIRS / 2:
        return []
    return judgement.of_latency(statistics.median(took[canary]), statistics.median(took[champion]), "a held-out row")


def predict(api: Api, place: Address, rows: list[Any]) -> list[Any]:
    """Returns the predictions for rows, by the V1 protocol.

    Raises:
        UserError: There are none, with what the server says.
    """
    route, body = f"/v1/models/{place.model}:predict", {"instances": rows}
    if place.url.startswith("/"):
        try:
            content = api.call("POST", place.url + route, body)
        except ApiError as error:
            raise UserError(str(error)) from error
    else:
        content = _post(place, route, body)
    try:
        # TensorFlow Serving leaves the output's name out where there is one output only.
        return [row["prediction"] if isinstance(row, dict) else row for row in content["predictions"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{place.url}{route}: answers without predictions: {str(content)[:200]}") from error


def _post(place: Address, route: str, body: Any) -> Any:
    parts = urllib.parse.urlsplit(place.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=durations.ANSWER_SECONDS)
    headers = {"Content-Type": "application/json", **({"Host": place.host} if place.host else {})}
    try:
        connection.request("POST", parts.path.rstrip("/") + route, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status != 200:
            raise UserError(f"{place.url}{route}: {answer.status}: {text[:300]}")
        return json.loads(text)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(f"{place.url}{route}: {error}") from error
    finally:
        connection.close()
