"""The policy's `behaviour` key, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import MULTICLASS, MULTILABEL, RANKING, REGRESSION, ModelManifest
from mainspring.components.evaluation.policy.policy import FALLS, GOLDEN, INVARIANT, RISES, ROBUST, Behaviour

KEYS = {
    INVARIANT: ("set_to", "tolerance", "min_share"),
    RISES: ("by", "tolerance", "min_share"),
    FALLS: ("by", "tolerance", "min_share"),
    GOLDEN: ("tolerance", "min_share"),
    ROBUST: (),
}
"""The other keys of each kind of test."""

STRESSES = ("missing", "extreme")


def behaviour(item: Any, model: ModelManifest) -> Behaviour:
    """Returns a checked behaviour test.

    Raises:
        UserError: It is none, or asks something of a feature that the model does not take.
    """
    kinds = [kind for kind in KEYS if isinstance(item, dict) and kind in item]
    if len(kinds) != 1:
        raise UserError(f"policy: behaviour: expected a mapping with one of {', '.join(KEYS)}; found {item!r}")
    kind = kinds[0]
    odd = [key for key in item if key != kind and key not in KEYS[kind]]
    if odd:
        known = ", ".join(KEYS[kind]) or "none"
        raise UserError(f"policy: behaviour: {kind}: unknown key {odd[0]!r}; known are {known}")
    tolerance = _number(item, "tolerance", kind, 0.0)
    share = _number(item, "min_share", kind, 1.0)
    if tolerance < 0 or not 0 < share <= 1:
        raise UserError(f"policy: behaviour: {kind}: tolerance must not be negative, min_share above 0 and at most 1")
    if tolerance >= 1 and model.task not in (REGRESSION, RANKING):
        raise UserError(f"policy: behaviour: {kind}: tolerance {tolerance:.4g} asks nothing: probabilities are 0 to 1")
    if kind == ROBUST:
        if item[kind] not in STRESSES:
            raise UserError(f"policy: behaviour: {kind}: expected {' or '.join(STRESSES)}, found {item[kind]!r}")
        return Behaviour(kind, value=item[kind])
    if kind == GOLDEN:
        return Behaviour(kind, tolerance=tolerance, min_share=share, golden=_golden(item[kind], model))
    feature = _feature(item[kind], kind, model)
    if kind == INVARIANT:
        if "set_to" not in item or isinstance(item["set_to"], list | dict):
            raise UserError(f"policy: behaviour: {kind}: {feature}: give set_to, the value that must not matter")
        return Behaviour(kind, feature, item["set_to"], tolerance, share)
    if model.features[feature] != "numeric" or model.task in (MULTICLASS, MULTILABEL):
        raise UserError(f"policy: behaviour: {kind}: {feature}: needs a numeric feature and one output; see the README")
    by = _number(item, "by", kind, 0.0)
    if by <= 0:
        raise UserError(f"policy: behaviour: {kind}: {feature}: give by, how much to add, above 0")
    return Behaviour(kind, feature, by, tolerance, share)


def _feature(name: Any, kind: str, model: ModelManifest) -> str:
    if not isinstance(name, str) or name not in model.features:
        raise UserError(
            f"policy: behaviour: {kind}: the model takes no feature {name!r}; it takes {', '.join(model.features)}"
        )
    return str(name)


def _golden(items: Any, model: ModelManifest) -> tuple[tuple[Mapping[str, Any], Any], ...]:
    if not isinstance(items, list) or not items:
        raise UserError("policy: behaviour: golden: expected a list of {inputs: {…}, expect: …}")
    for item in items:
        if not isinstance(item, dict) or set(item) != {"inputs", "expect"} or not isinstance(item["inputs"], dict):
            raise UserError(f"policy: behaviour: golden: expected {{inputs: {{…}}, expect: …}}, found {item!r}")
        for name in item["inputs"]:
            _feature(name, GOLDEN, model)
        if model.task in (MULTICLASS, MULTILABEL):
            names = item["expect"] if model.task == MULTILABEL else [item["expect"]]
            if not isinstance(names, list) or any(str(name) not in model.classes for name in names):
                what = "list of the model's classes" if model.task == MULTILABEL else "class of the model"
                raise UserError(f"policy: behaviour: golden: {item['expect']!r} is no {what}")
        else:
            _number(item, "expect", GOLDEN, 0.0)
    return tuple((item["inputs"], item["expect"]) for item in items)


def _number(item: Mapping[str, Any], key: str, kind: str, default: float) -> float:
    value = item.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"policy: behaviour: {kind}: {key}: expected a number, found {value!r}")
    return float(value)
