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


class _Anything(dict[str, str]):
    """Columns, features and classes that nobody knows yet: each name may be one."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> str:
        return "numeric"

    def __iter__(self) -> Iterator[str]:
        return iter(())


def check(policy: str, task: str = "auto") -> None:
    """Checks a policy as far as it can be without a model.

    Args:
        policy: YAML, or the path of a YAML file; one that is not on this machine is checked where it is.
        task: The model's, or `auto` where training tells it.

    Raises:
        UserError: The policy is wrong for every task that the model may have.
    """
    if _is_elsewhere(policy):
        return
    text = read_text(policy)
    errors = []
    for each in JUDGED_TASKS if task not in JUDGED_TASKS else (task,):
        try:
            policy_yaml.parse(text, _any_model(each), _Anything())
        except UserError as error:
            errors.append(error)
        else:
            return
    unsuitable = [error for error in errors if " is no metric for " in str(error)]
    raise next((error for error in errors if error not in unsuitable), errors[0])


def _is_elsewhere(policy: str) -> bool:
    text = policy.strip()
    is_path = "\n" not in text and text.endswith((".yaml", ".yml"))
    return is_path and not Path(storage.as_path(text)).exists()


def _any_model(task: str) -> ModelManifest:
    anything: Any = _Anything()
    return ModelManifest(task, "", anything, anything, {}, 0, "", "", "", "", {})
