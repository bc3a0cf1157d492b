"""What a step would refuse of its parameters, refused before the run starts.

Only parameters count that go to a step of Mainspring's under their own name: another team's `target` is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainspring.components import COMPONENTS
from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import UserError
from mainspring.components.deployment import rollouts, targets
from mainspring.pipelines.compiling.light_kfp import PipelineSpec


def check(spec: PipelineSpec, arguments: dict[str, Any]) -> None:
    """Checks typed arguments as far as that takes no time, no network and no data.

    Raises:
        UserError: A step would refuse one of them.
    """
    ours = _taken_by_ours(spec)
    for name, value in arguments.items():
        if name in CHECKS and name in ours and value not in ("", [], {}):
            CHECKS[name](value, arguments)


def _taken_by_ours(spec: PipelineSpec) -> set[str]:
    """Returns the names of the inputs of Mainspring's own components that a pipeline has steps of."""
    known = {name.replace("_", "-") for name in COMPONENTS}
    found: set[str] = set()
    for key, component in spec.components.items():
        name = re.sub(r"-\d+$", "", key.removeprefix("comp-"))
        if name in known and component.executor_label:
            found |= set(component.input_definitions.parameters)
    return found


def _target(value: str, arguments: dict[str, Any]) -> None:
    parsed = targets.parse(value)
    root = str(arguments.get("models_root") or "")
    if parsed.scheme == targets.KSERVE and root and not buckets.is_bucket(root):
        raise UserError(
            f"models_root {root!r}: {value} cannot read this machine's folders; give gs://bucket/folder or s3://…"
        )


def _rollout(value: str, arguments: dict[str, Any]) -> None:
    rollouts.parse(value, float(arguments.get("rollout_seconds") or 10.0))


def _serving_policy(value: str, arguments: dict[str, Any]) -> None:
    target = str(arguments.get("target") or "")
    if target and targets.parse(target).scheme == targets.LOCAL:
        raise UserError(f"serving_policy: {target} is no cluster; leave it out, or deploy to kserve://namespace/name")
    if _is_here(value):
        from mainspring.components.deployment.kserve import policy

        policy.parse(value)


def _hyperparameters(value: str, arguments: dict[str, Any]) -> None:
    from mainspring.components.training import hyperparameters

    hyperparameters.checked(value)


def _one_of(name: str, *words: str) -> Callable[[str, dict[str, Any]], None]:
    def check(value: str, arguments: dict[str, Any]) -> None:
        if value not in words:
            raise UserError(f"{name} {value!r}: must be {' or '.join(repr(word) for word in words)}")

    return check


def _between(name: str, low: float, high: float) -> Callable[[float, dict[str, Any]], None]:
    def check(value: float, arguments: dict[str, Any]) -> None:
        if not low < value < high:
            raise UserError(f"{name} is {value}; it must lie between {low:g} and {high:g}, both excluded")

    return check


def _models_root(value: str, arguments: dict[str, Any]) -> None:
    if not buckets.is_bucket(value):
        storage.as_path(value)


def _at_least_one(name: str) -> Callable[[int, dict[str, Any]], None]:
    def check(value: int, arguments: dict[str, Any]) -> None:
        if value < 1:
            raise UserError(f"{name} is {value}; it must be 1 or more")

    return check


def _is_here(policy: str) -> bool:
    """Returns whether a policy's text, or the file that it names, can be read on this machine."""
    text = policy.strip()
    is_path = "\n" not in text and text.endswith((".yaml", ".yml"))
    return not is_path or ("://" not in text and Path(text).exists())


CHECKS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "target": _target,
    "models_root": _models_root,
    "rollout": _rollout,
    "serving_policy": _serving_policy,
    "hyperparameters": _hyperparameters,
    "on_refusal": _one_of("on_refusal", "fail", "skip"),
    "on_too_few": _one_of("on_too_few", "fail", "skip"),
    "on_broken_champion": _one_of("on_broken_champion", "refuse", "rebaseline"),
    "eval_fraction": _between("eval_fraction", 0, 1),
    "window": _at_least_one("window"),
    "min_spans": _at_least_one("min_spans"),
}
