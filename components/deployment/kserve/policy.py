"""The serving policy: what the person who runs the service decides about it, as YAML, checked first."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml
from mainspring.components.common.written.policy_text import read_text

MODES = ("auto", "Knative", "Standard")
REACHES = ("auto", "cluster", "api")
SCALE_METRICS = ("concurrency", "rps", "cpu", "memory")
LOGGER_MODES = ("all", "request", "response")


@dataclass(frozen=True)
class Logger:
    """KServe's payload logger."""

    url: str
    """Where records go: an HTTP URL that takes CloudEvents, or `gs://…`, `s3://…`."""
    mode: str = "all"
    """`all`, `request` or `response`."""


@dataclass(frozen=True)
class ServingPolicy:
    """How a model is served; what is None is left to the cluster and to people, and never overwritten."""

    runtime: str = ""
    """A ServingRuntime or ClusterServingRuntime; empty: the cluster's own choice, TensorFlow Serving."""
    mode: str = "auto"
    """`Knative`, `Standard`, or `auto`: what the service has, else Knative where the cluster has it."""
    service_account: str = ""
    """Of the predictor's pods: it may read the bucket."""
    min_replicas: int | None = None
    """0: scale to zero (Knative)."""
    max_replicas: int | None = None
    scale_target: int | None = None
    scale_metric: str | None = None
    """One of `SCALE_METRICS`."""
    resources: dict[str, Any] = field(default_factory=dict)
    """`requests` and `limits`, as Kubernetes has them; `nvidia.com/gpu` among the limits for a GPU."""
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[Any] = field(default_factory=list)
    logger: Logger | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    """More annotations of the service, such as the run's."""
    reach: str = "auto"
    """How a canary is asked: `cluster` (its cluster-local address), `api` (through the Kubernetes API's proxy), `auto`
    (`cluster` in a pod, else `api`), or a gateway's `http://…` URL (Knative; the host name goes into the request)."""
    ready_seconds: float = 600.0
    """How long a version may take to be ready, its image's pull included."""
    prometheus: str = ""
    """URL of a Prometheus; empty: live requests are not judged."""
    error_query: str = ""
    """PromQL that gives the share of failed requests; `{predictor}` and `{namespace}` stand for what is judged."""
    latency_query: str = ""
    """PromQL that gives a latency in seconds, likewise."""


def parse(policy: str) -> ServingPolicy:
    """Parses a serving policy: YAML, or the path of a YAML file; empty: everything as the cluster has it.

    Raises:
        UserError: It is no YAML mapping, has an unknown key, or a value that cannot be.
    """
    loaded = strict_yaml.load(read_text(policy), "serving_policy")
    content = {} if loaded is None else loaded
    if not isinstance(content, dict):
        raise UserError("serving_policy: must be a mapping, such as {min_replicas: 1}")
    known = {each.name for each in fields(ServingPolicy)}
    for key in content:
        if key not in known:
            raise UserError(f"serving_policy: unknown key {key!r}; there are {', '.join(sorted(known))}")
    if content.get("logger") is not None:
        content["logger"] = _logger(content["logger"])
    parsed = ServingPolicy(**content)
    _check(parsed)
    return parsed


def restored(content: dict[str, Any]) -> ServingPolicy:
    """Returns a policy from what `dataclasses.asdict` made of it."""
    logger = content.get("logger")
    return ServingPolicy(**{**content, "logger": Logger(**logger) if logger else None})


def _logger(content: Any) -> Logger:
    if not isinstance(content, dict) or not set(content) <= {"url", "mode"} or not content.get("url"):
        raise UserError("serving_policy: logger: must be {url: …, mode: all|request|response}")
    return Logger(**content)


def _check(policy: ServingPolicy) -> None:
    _one_of("mode", policy.mode, MODES)
    if policy.scale_metric is not None:
        _one_of("scale_metric", policy.scale_metric, SCALE_METRICS)
    if policy.logger:
        _one_of("logger: mode", policy.logger.mode, LOGGER_MODES)
    if policy.reach not in REACHES and not str(policy.reach).startswith(("http://", "https://")):
        raise UserError(f"serving_policy: reach {policy.reach!r}: must be {', '.join(REACHES)} or a gateway's URL")
    for name in ("min_replicas", "max_replicas", "scale_target"):
        value = getattr(policy, name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise UserError(f"serving_policy: {name} {value!r}: must be a whole number from 0")
    if policy.max_replicas and (policy.min_replicas or 0) > policy.max_replicas:
        raise UserError(f"serving_policy: min_replicas {policy.min_replicas} is more than max_replicas")
    for name in ("resources", "node_selector", "annotations"):
        if not isinstance(getattr(policy, name), dict):
            raise UserError(f"serving_policy: {name}: must be a mapping")
    if not isinstance(policy.tolerations, list):
        raise UserError("serving_policy: tolerations: must be a list")
    if isinstance(policy.ready_seconds, bool) or not isinstance(policy.ready_seconds, int | float):
        raise UserError(f"serving_policy: ready_seconds {policy.ready_seconds!r}: must be a number of seconds")
    if (policy.error_query or policy.latency_query) and not policy.prometheus:
        raise UserError("serving_policy: error_query and latency_query need prometheus, the URL to ask")


def _one_of(name: str, value: Any, words: tuple[str, ...]) -> None:
    if value not in words:
        raise UserError(f"serving_policy: {name} {value!r}: must be one of {', '.join(words)}")
