"""Live requests as Prometheus has them, by its HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/."""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.judgement import ERROR_MARGIN, of_latency
from mainspring.components.deployment.kserve import durations
from mainspring.components.deployment.kserve.policy import ServingPolicy

ATTEMPTS = 3


def judge(policy: ServingPolicy, canary: Callable[[str], str], champion: Callable[[str], str]) -> list[str]:
    """Returns what is wrong with a canary's live requests, beside the champion's; what cannot be told is wrong as well.

    Args:
        policy: Prometheus' URL and the queries.
        canary: Returns a query with the canary in the places of `{predictor}` and `{namespace}`.
        champion: Likewise with the champion.
    """
    reasons: list[str] = []
    for name, query in (("error_query", policy.error_query), ("latency_query", policy.latency_query)):
        if not query:
            continue
        try:
            own, usual = (instant(policy.prometheus, named(query)) for named in (canary, champion))
        except UserError as error:
            return [f"{name}: {error}"]
        if own is None and usual is None:
            return [f"{name}: Prometheus has no series of either version; is the query right?"]
        if own is None or math.isnan(own):
            continue  # No request in the window: as with the local target, there is nothing to judge.
        beside = None if usual is None or math.isnan(usual) else usual
        if name == "latency_query":
            reasons += of_latency(own, own if beside is None else beside, "a live request")
        elif own > (beside or 0.0) + ERROR_MARGIN:
            reasons.append(f"{own:.1%} of live requests fail, against {beside or 0.0:.1%} at the champion")
    return reasons


def instant(url: str, query: str) -> float | None:
    """Returns the value of a query now: None if no series matches it, NaN if those that do have nothing to divide.

    Raises:
        UserError: Prometheus does not answer, refuses the query, or has more than one series for it.
    """
    address = f"{url.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(address, timeout=durations.PROMETHEUS_SECONDS) as answer:
                return _value(json.load(answer)["data"], query)
        except urllib.error.HTTPError as error:
            trouble = f"Prometheus at {url}: {error.code}: {_said(error)}"
            if error.code in (400, 401, 403, 404, 422):
                break  # It will say the same again.
        except (OSError, ValueError, KeyError, TypeError) as error:
            trouble = f"Prometheus at {url} does not answer as it should: {error}"
        if attempt + 1 < ATTEMPTS:
            time.sleep(durations.PROMETHEUS_PAUSE_SECONDS)
    raise UserError(trouble)


def _value(data: dict[str, Any], query: str) -> float | None:
    if data["resultType"] == "scalar":
        return float(data["result"][1])
    if data["resultType"] != "vector":
        raise UserError(f"{query}: gives a {data['resultType']}; it must give one number")
    if len(data["result"]) > 1:
        raise UserError(f"{query}: gives {len(data['result'])} series; it must give one number: sum them up")
    return float(data["result"][0]["value"][1]) if data["result"] else None


def _said(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return text[:300] or str(error.reason)
