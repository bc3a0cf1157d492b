"""A policy checked before there is a model: what nothing could make right is refused at a run's start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import JUDGED_TASKS, ModelManifest
from mainspring.components.common.written.policy_text import read_text
from mainspring.components.evaluation.policy import policy_yaml
from mainspring.components.evaluation.policy.policy import FALLS, RISES, Policy


class _Anything(dict[str, str]):
    """Columns, features and classes that nobody knows yet: each name may be one."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> str:
        return "numeric"

    def __iter__(self) -> Iterator[str]:
        return iter(())


def check(policy: str, task: str = "auto") -> Policy | None:
    """Checks a policy as far as it can be without a model.

    Args:
        policy: YAML, or the path of a YAML file; one that is not on this machine is checked where it is.
        task: The model's, or `auto` where training tells it.

    Returns:
        The policy, for the first of the tasks that it suits; None where it is not on this machine.

    Raises:
        UserError: The policy is wrong for every task that the model may have.
    """
    if _is_elsewhere(policy):
        return None
    text = read_text(policy)
    errors = []
    for each in JUDGED_TASKS if task not in JUDGED_TASKS else (task,):
        try:
            return policy_yaml.parse(text, _any_model(each), _Anything())
        except UserError as error:
            errors.append(error)
    unsuitable = [error for error in errors if " is no metric for " in str(error)]
    raise next((error for error in errors if error not in unsuitable), errors[0])


def directions(policy: Policy) -> dict[str, str]:
    """Returns `rises` or `falls` by feature, as `train_model` takes it: what the policy's behaviour tests ask.

    A feature that is asked both is left to the tests, and so is what a test forgives.
    """
    words = {RISES: "rises", FALLS: "falls"}
    asked: dict[str, set[str]] = {}
    for test in policy.behaviour:
        if test.kind in words:
            asked.setdefault(test.feature, set()).add(words[test.kind])
    return {feature: found.pop() for feature, found in asked.items() if len(found) == 1}


def _is_elsewhere(policy: str) -> bool:
    text = policy.strip()
    is_path = "\n" not in text and text.endswith((".yaml", ".yml"))
    return is_path and not Path(storage.as_path(text)).exists()


def _any_model(task: str) -> ModelManifest:
    anything: Any = _Anything()
    return ModelManifest(task, "", anything, anything, {}, 0, "", "", "", "", {})
