"""The policy's YAML, read and checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, ModelManifest
from mainspring.components.common.written import strict_yaml
from mainspring.components.common.written.policy_text import refuse_unknown, suggestion
from mainspring.components.common.written.strict_yaml import shown
from mainspring.components.evaluation.policy import bounds, metrics_yaml
from mainspring.components.evaluation.policy.behaviour_yaml import behaviour
from mainspring.components.evaluation.policy.metric_catalogue import (
    DEFAULT_METRICS,
    MAIN_METRIC,
    NEITHER,
    result_name,
)
from mainspring.components.evaluation.policy.policy import (
    COSTS,
    DEFAULT_WORST_SLICES,
    TRIVIAL_METRICS,
    Buckets,
    Gate,
    Metric,
    Policy,
)

DEFAULT_MIN_SLICE_ROWS = 100
"""Slices with fewer rows are not measured: a share of 100 rows is uncertain by ±10 percentage points as it is."""

DEFAULT_RELATIVE_LOSS = 0.0025
"""The share of the champion's main metric that a challenger may lose by default: what chance in training moves it by.

Two trainings on 130,000 flights that differed by their seed alone were 0.16 % of AUC apart, on the same 32,581 rows,
beyond those rows' own noise.
"""

MAX_BUCKETS = 100

POLICY_KEYS = ("metrics", "slices", "buckets", "min_slice_rows", "worst_slices", "gates", "behaviour")
COMPARISON_KEYS = ("max_loss", "max_relative_loss", "min_gain", "min_relative_gain")
GATE_KEYS = (
    "metric",
    "slice",
    "min",
    "max",
    "max_loss",
    "max_relative_loss",
    "min_gain",
    "min_relative_gain",
    "max_gap",
    "allow_noise",
    "better_than_trivial",
    "better_than_linear",
)


def parse(text: str, model: ModelManifest, columns: Iterable[str]) -> Policy:
    """Returns the checked policy, with defaults filled in for the model's task.

    Args:
        text: YAML; empty for the defaults.
        model: The challenger's manifest, for its task.
        columns: The examples' columns, of which slices can be made.

    Raises:
        UserError: The text is no YAML, or names an unknown key, metric or column, or asks something meaningless.
    """
    content = _load(text)
    metrics = [metrics_yaml.metric(item, model.task) for item in _list(content, "metrics")]
    if not metrics:
        metrics = [Metric(name) for name in DEFAULT_METRICS[model.task]]
    slices = [_features(item, "slices", columns, model.label) for item in _list(content, "slices")]
    gates = [_gate(item, model, columns, metrics) for item in _list(content, "gates")]
    if not any((gate.better_than_trivial or gate.better_than_linear) and not gate.slice for gate in gates):
        # Without it, a model would be blessed by bounds that one that knows nothing meets as well.
        main = metrics_yaml.find_or_add(MAIN_METRIC[model.task], model.task, metrics)
        gates.append(Gate(main.name, better_than_trivial=True, unless_stricter=bool(content.get("gates"))))
    if not content.get("gates"):
        if model.task == BINARY:
            of_rare = metrics_yaml.find_or_add("AUCPrecisionRecall", model.task, metrics)
            gates.append(Gate(of_rare.name, better_than_trivial=True, if_rare=True))
            # Rows in the right order are no use where the model's threshold names none of them.
            recall = metrics_yaml.find_or_add("Recall", model.task, metrics)
            gates.append(Gate(recall.name, better_than_trivial=True, if_rare=True, allow_noise=False))
        gates.append(Gate(result_name(MAIN_METRIC[model.task]), max_relative_loss=DEFAULT_RELATIVE_LOSS))
    slices += [gate.slice for gate in gates if gate.slice]
    metrics_yaml.refuse_duplicates(metrics)
    return Policy(
        metrics=tuple(metrics),
        slices=tuple(dict.fromkeys(slices)),
        min_slice_rows=_count(content, "min_slice_rows", DEFAULT_MIN_SLICE_ROWS, 1),
        gates=tuple(gates),
        buckets=_buckets(content, columns, model.label),
        behaviour=tuple(behaviour(item, model) for item in _list(content, "behaviour")),
        worst_slices=_count(content, "worst_slices", DEFAULT_WORST_SLICES, 0),
    )


def _load(text: str) -> dict[str, Any]:
    content = strict_yaml.load(text, "policy")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(
            f"policy: expected a mapping with {', '.join(POLICY_KEYS)}, or the path of a .yaml file: {shown(text)}"
        )
    refuse_unknown(content, POLICY_KEYS, "policy: unknown key")
    return content


def _list(content: Mapping[str, Any], key: str) -> list[Any]:
    value = content.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UserError(f"policy: {key}: expected a list, found {shown(value)}")
    return value


def _features(item: Any, where: str, columns: Iterable[str], label: str) -> tuple[str, ...]:
    names = item if isinstance(item, list) else [item]
    if not names or len(set(map(str, names))) != len(names):
        raise UserError(f"policy: {where}: expected a column or a list of different columns, found {shown(item)}")
    usable = columns if label == "" else [column for column in columns if column != label]
    for name in names:
        if name == label:
            raise UserError(f"policy: {where}: {shown(name)} is the label; slice by a feature")
        if name not in usable:
            raise UserError(f"policy: {where}: {shown(name)} is no column of the examples{suggestion(name, usable)}")
    return tuple(names)


def _gate(item: Any, model: ModelManifest, columns: Iterable[str], metrics: list[Metric]) -> Gate:
    if not isinstance(item, dict):
        raise UserError(f"policy: gates: expected mappings with {', '.join(GATE_KEYS)}; found {shown(item)}")
    refuse_unknown(item, GATE_KEYS, "policy: gates: unknown key")
    if "metric" not in item:
        raise UserError(f"policy: gates: {shown(item)} names no metric")
    if item["metric"] in COSTS:
        return _cost_gate(item)
    metric = metrics_yaml.find_or_add(item["metric"], model.task, metrics)
    where = f"policy: gates: {metric.name}"
    gate = Gate(
        metric=metric.name,
        slice=_features(item["slice"], "gates: slice", columns, model.label) if "slice" in item else (),
        min=_number(item, "min", where),
        max=_number(item, "max", where),
        max_loss=_number(item, "max_loss", where),
        max_relative_loss=_number(item, "max_relative_loss", where),
        min_gain=_number(item, "min_gain", where),
        min_relative_gain=_number(item, "min_relative_gain", where),
        max_gap=_number(item, "max_gap", where),
        allow_noise=_flag(item, "allow_noise", where, True),
        better_than_trivial=_flag(item, "better_than_trivial", where, False),
        better_than_linear=_flag(item, "better_than_linear", where, False),
    )
    _refuse_meaningless(gate, metric, where)
    bounds.refuse_empty(gate, metric, model.task, where)
    return gate


def _refuse_meaningless(gate: Gate, metric: Metric, where: str) -> None:
    if not gate.is_comparison and not gate.is_absolute and gate.max_gap is None:
        raise UserError(f"{where}: asks nothing; give one of {', '.join(GATE_KEYS[2:])}")
    _refuse_negative(gate, where)
    if gate.max_gap is not None and not gate.slice:
        raise UserError(f"{where}: max_gap compares the slices of a feature; give slice")
    for key in (*COMPARISON_KEYS, "better_than_linear"):
        if getattr(gate, key) not in (None, False) and metric.direction == NEITHER:
            raise UserError(f"{where}: neither higher nor lower is better, so {key} means nothing; give min and max")
    if gate.min is not None and gate.max is not None and gate.min > gate.max:
        raise UserError(f"{where}: min {gate.min} is above max {gate.max}")
    known_settings = {"name", "top_k_list"} if metric.class_name == "NDCG" else {"name"}
    if gate.better_than_trivial and (
        metric.class_name not in TRIVIAL_METRICS or metric.settings.keys() - known_settings
    ):
        known = ", ".join(sorted(TRIVIAL_METRICS))
        raise UserError(f"{where}: the trivial predictor is known only for {known}, without settings; give min or max")


def _refuse_negative(gate: Gate, where: str) -> None:
    for key in (*COMPARISON_KEYS, "max_gap"):
        value = getattr(gate, key)
        if value is not None and value < 0:
            raise UserError(f"{where}: {key} must not be negative, found {value}")


def _cost_gate(item: Mapping[str, Any]) -> Gate:
    where = f"policy: gates: {item['metric']}"
    for key in (
        "slice",
        "min",
        "min_gain",
        "min_relative_gain",
        "max_gap",
        "better_than_trivial",
        "better_than_linear",
    ):
        if key in item:
            raise UserError(f"{where}: {key} means nothing here; give max, max_loss or max_relative_loss")
    gate = Gate(
        metric=item["metric"],
        max=_number(item, "max", where),
        max_loss=_number(item, "max_loss", where),
        max_relative_loss=_number(item, "max_relative_loss", where),
        allow_noise=_flag(item, "allow_noise", where, True),
    )
    if gate.max is None and not gate.is_comparison:
        raise UserError(f"{where}: asks nothing; give max, max_loss or max_relative_loss")
    _refuse_negative(gate, where)
    bounds.refuse_large_shares(gate, where)
    if gate.max is not None and gate.max <= 0:
        raise UserError(f"{where}: max {gate.max:.4g} can never be met; give one above 0")
    return gate


def _count(content: Mapping[str, Any], key: str, default: int, least: int) -> int:
    value = content.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"policy: {key}: expected a whole number above {least - 1}, found {shown(value)}")
    return value


def _buckets(content: Mapping[str, Any], columns: Iterable[str], label: str) -> dict[str, Buckets]:
    items = content.get("buckets") or {}
    if not isinstance(items, dict):
        raise UserError(f"policy: buckets: expected a mapping such as {{distance: 4}}, found {shown(items)}")
    return {_features(name, "buckets", columns, label)[0]: _cut(name, value) for name, value in items.items()}


def _cut(name: str, value: Any) -> Buckets:
    if isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= MAX_BUCKETS:
        return value
    edges = [_number({"edge": edge}, "edge", f"policy: buckets: {name}") for edge in value] if _is_list(value) else []
    numbers = [edge for edge in edges if edge is not None]
    if not numbers or numbers != sorted(set(numbers)) or len(numbers) < len(edges):
        raise UserError(
            f"policy: buckets: {name}: expected 2 to {MAX_BUCKETS} buckets or a list of ascending edges, "
            f"found {shown(value)}"
        )
    return tuple(numbers)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) < MAX_BUCKETS


def _number(item: Mapping[str, Any], key: str, where: str) -> float | None:
    value = item.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise UserError(f"{where}: {key}: expected a number, found {shown(value)}")
    return float(value)


def _flag(item: Mapping[str, Any], key: str, where: str, default: bool) -> bool:
    value = item.get(key, default)
    if not isinstance(value, bool):
        raise UserError(f"{where}: {key}: expected true or false, found {shown(value)}")
    return value
