"""The metrics that a policy names, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.written.policy_text import suggestion
from mainspring.components.evaluation.policy.metric_catalogue import DEFAULT_METRICS, METRICS, result_name
from mainspring.components.evaluation.policy.policy import COSTS, Metric


def metric(item: Any, task: str) -> Metric:
    """Returns a metric from its name, or from its name and settings.

    Raises:
        UserError: It is unknown, does not suit the task, or its settings are no JSON.
    """
    if isinstance(item, dict) and len(item) == 1:
        name, settings = next(iter(item.items()))
        if not isinstance(settings, dict) or not _is_json(settings):
            raise UserError(f"policy: metrics: {name}: expected the metric's settings as a mapping, found {settings!r}")
    else:
        name, settings = item, {}
    found = Metric(class_name_of(name, "metrics", task), settings)
    if not isinstance(settings.get("name", ""), str):
        raise UserError(f"policy: metrics: {name}: name: expected a text, found {settings['name']!r}")
    places = settings.get("top_k_list")
    if found.class_name == "NDCG" and "top_k_list" in settings and not _is_places(places):
        raise UserError(
            f"policy: metrics: {name}: top_k_list: expected one whole number above 0 in a list, found {places!r}; for "
            "several, list the metric several times, each with a name"
        )
    return found


def _is_places(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and type(value[0]) is int and value[0] > 0


def _is_json(settings: Mapping[str, Any]) -> bool:
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return all(isinstance(key, str) for key in settings)


def class_name_of(name: Any, where: str, task: str) -> str:
    """Returns the class name of a metric given by its own or its result's name.

    Raises:
        UserError: It is unknown, or no metric for the task.
    """
    by_result = {result_name(known): known for known in METRICS}
    class_name = (name if name in METRICS else by_result.get(name)) if isinstance(name, str) else None
    if class_name is None:
        suitable = [known for known, metric in METRICS.items() if task in metric.tasks]
        raise UserError(f"policy: {where}: unknown metric {name!r}{suggestion(name, suitable)}")
    if task not in METRICS[class_name].tasks:
        usual = ", ".join(DEFAULT_METRICS[task])
        raise UserError(f"policy: {where}: {name} is no metric for {task}; usual ones are {usual}")
    return class_name


def find_or_add(name: Any, task: str, metrics: list[Metric]) -> Metric:
    """Returns the metric of that name, which is added where the policy does not list it."""
    for metric in metrics:
        if name in (metric.name, metric.class_name):
            return metric
    added = Metric(class_name_of(name, "gates", task))
    metrics.append(added)
    return added


def refuse_duplicates(metrics: list[Metric]) -> None:
    """Raises UserError where two metrics, or a metric and a cost, would be reported under one name."""
    names = [metric.name for metric in metrics]
    for name in names:
        if name in COSTS:
            raise UserError(f"policy: metrics: {name} is what the model itself costs; give the metric another name")
        if names.count(name) > 1:
            raise UserError(f"policy: metrics: {name} occurs twice; give one of them a name of its own, {{name: …}}")
