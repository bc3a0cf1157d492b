"""The validation policy's YAML, read and checked before any data is."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml
from mainspring.components.common.written.policy_text import read_text, refuse_unknown, suggestion
from mainspring.components.common.written.strict_yaml import shown
from mainspring.components.validation.policy import anomaly_kinds
from mainspring.components.validation.policy.policy import Allowance, Limits, Policy, Rule

POLICY_KEYS = ("severity", "allow", "limits", "drift")
DRIFT_KEYS = ("judge", "leave_out")
RULE_KEYS = ("anomaly", "feature", "severity")
ALLOWANCE_KEYS = ("anomaly", "feature", "reason", "expires")
LIMIT_KEYS = tuple(field.name for field in fields(Limits))
FACTORS = ("max_row_factor", "max_label_odds_factor")


def parse(policy: str, columns: Iterable[str]) -> Policy:
    """Returns the checked policy.

    Args:
        policy: YAML, or the path of a .yaml file; empty for the defaults.
        columns: The columns of examples and schema, which features are names of.

    Raises:
        UserError: The text is no YAML, or names an unknown key, anomaly or column, or lacks something.
    """
    content = _load(read_text(policy))
    known = list(dict.fromkeys(columns))
    rules = [_rule(item, known) for item in _mappings(content, "severity", RULE_KEYS)]
    for number, rule in enumerate(rules):
        if any((rule.anomaly, rule.feature) == (other.anomaly, other.feature) for other in rules[:number]):
            about = " ".join(filter(None, (rule.anomaly, rule.feature))) or "everything"
            raise UserError(f"policy: severity: two rules for {about}; keep one of them")
    allowances = [_allowance(item, known) for item in _mappings(content, "allow", ALLOWANCE_KEYS)]
    judge, leave_out = _drift(content, known)
    return Policy(tuple(rules), tuple(allowances), _limits(content), judge, leave_out)


def _load(text: str) -> dict[str, Any]:
    content = strict_yaml.load(text, "policy")
    if content is None:
        return {}
    if not isinstance(content, dict):
        known = ", ".join(POLICY_KEYS)
        raise UserError(f"policy: expected a mapping with {known}, or the path of a .yaml file: {shown(text)}")
    refuse_unknown(content, POLICY_KEYS, "policy: unknown key")
    return content


def _mappings(content: Mapping[str, Any], key: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    value = content.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UserError(f"policy: {key}: expected a list of mappings with {', '.join(keys)}; found {shown(value)}")
    for item in value:
        refuse_unknown(item, keys, f"policy: {key}: unknown key")
    return value


def _rule(item: Mapping[str, Any], columns: list[str]) -> Rule:
    severity = item.get("severity")
    if severity not in anomaly_kinds.SEVERITIES:
        found = "is missing" if severity is None else f"{shown(severity)} is none"
        raise UserError(
            f"policy: severity: the severity {found}; one of {', '.join(anomaly_kinds.SEVERITIES)} is needed"
        )
    return Rule(severity, _anomaly(item, "severity"), _feature(item, "severity", columns))


def _allowance(item: Mapping[str, Any], columns: list[str]) -> Allowance:
    anomaly, feature = _anomaly(item, "allow"), _feature(item, "allow", columns)
    about = " ".join(filter(None, (anomaly, feature)))
    if not about:
        raise UserError(f"policy: allow: {shown(item)} names neither an anomaly nor a feature; that would allow all")
    reason, expires = item.get("reason"), item.get("expires")
    if not isinstance(reason, str) or not reason.strip():
        raise UserError(f"policy: allow: {about}: give a reason, in words")
    try:
        expires = datetime.date.fromisoformat(expires) if isinstance(expires, str) else expires
    except ValueError:
        expires = None
    if not isinstance(expires, datetime.date) or isinstance(expires, datetime.datetime):
        found = item.get("expires")
        raise UserError(f"policy: allow: {about}: expires: expected a date such as 2026-12-31, found {shown(found)}")
    return Allowance(anomaly, feature, " ".join(reason.split()), expires)


def _anomaly(item: Mapping[str, Any], where: str) -> str:
    name = item.get("anomaly")
    if name is None:
        return ""
    tfdv = {known.lower(): known for known in anomalies_pb2.AnomalyInfo.Type.keys()}  # noqa: SIM118 - protobuf's enum
    if isinstance(name, str) and name.lower() in tfdv:
        return anomaly_kinds.of_tfdv(tfdv[name.lower()], anomaly_kinds.DRIFT)
    if not isinstance(name, str) or name not in anomaly_kinds.OURS:
        known = [*anomaly_kinds.OURS, *tfdv]
        raise UserError(
            f"policy: {where}: unknown anomaly {shown(name)}{suggestion(name, known, list(anomaly_kinds.OURS))}"
        )
    return str(name)


def _feature(item: Mapping[str, Any], where: str, columns: list[str]) -> str:
    name = item.get("feature")
    if name is None:
        return ""
    if name not in columns:
        raise UserError(f"policy: {where}: {shown(name)} is no column of examples or schema{suggestion(name, columns)}")
    return str(name)


def _drift(content: Mapping[str, Any], columns: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    given = content.get("drift")
    if given is None:
        return (), ()
    if not isinstance(given, dict):
        raise UserError(f"policy: drift: expected a mapping with {', '.join(DRIFT_KEYS)}; found {shown(given)}")
    refuse_unknown(given, DRIFT_KEYS, "policy: drift: unknown key")
    found = []
    for key in DRIFT_KEYS:
        names = given.get(key) or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"policy: drift: {key}: expected a list of columns, found {shown(names)}")
        found.append(tuple(_feature({"feature": name}, f"drift: {key}", columns) for name in names))
    for name in set(found[0]) & set(found[1]):
        raise UserError(f"policy: drift: {name!r} is to be judged and to be left out; keep one of them")
    return found[0], found[1]


def _limits(content: Mapping[str, Any]) -> Limits:
    given = content.get("limits")
    if given is None:
        return Limits()
    if not isinstance(given, dict):
        raise UserError(f"policy: limits: expected a mapping with {', '.join(LIMIT_KEYS)}; found {shown(given)}")
    refuse_unknown(given, LIMIT_KEYS, "policy: limits: unknown key")
    for key, value in given.items():
        low, high, words = (1.0, float("inf"), "of 1 or more") if key in FACTORS else (0.0, 1.0, "from 0 to 1")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high or value == float("inf"):
            raise UserError(f"policy: limits: {key}: expected a number {words}, found {shown(value)}")
    return Limits(**{key: float(value) for key, value in given.items()})
