"""KFP's placeholders in a task's command, filled in without touching what a parameter says.

KFP's local orchestrator searches the values of parameters for its placeholders, too: a query with `{{$.x}}` in it
would reach the task as another one. On a cluster only what the pipeline's author wrote is searched. Here the values are
hidden while KFP searches, and shown again in the command.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from typing import Any

from kfp import dsl
from kfp.dsl import constants

LARGEST_WHOLE = 2**53


class Placeholders:
    """Fills in the placeholders of one run's tasks."""

    def __init__(self, replace: Callable[..., list[str]], run_name: str = "") -> None:
        """Takes KFP's own function, which knows the placeholders.

        Args:
            replace: KFP's function.
            run_name: What the run's id is; empty: a number of KFP's own.
        """
        self._replace = replace
        mark = f"<{secrets.token_hex(8)}>"
        self._hidden = {"{{$": "{" + mark + "{$", constants.WORKSPACE_MOUNT_PATH: f"/{mark}kfp-workspace"}
        # A run on this machine has no due time: as on a cluster, its start stands in for one.
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._known = {
            dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER: now,
            dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER: now,
        } | ({dsl.PIPELINE_JOB_ID_PLACEHOLDER: run_name} if run_name else {})

    def replaced(self, constants: Collection[str], executor_input_dict: dict[str, Any], **given: Any) -> list[str]:
        """Returns the command with its placeholders filled in.

        Args:
            constants: The parameters that the pipeline's author gave a fixed value: in these placeholders count.
            executor_input_dict: What KFP tells the task.
            given: What else KFP's own function takes.
        """
        parameters = executor_input_dict.get("inputs", {}).get("parameterValues", {})
        for name, value in parameters.items():
            value = _with_whole_numbers(value) if isinstance(value, list | dict) else value
            words = self._known if name in constants else self._hidden
            parameters[name] = _exchanged(value, words)
        shown = {hidden: text for text, hidden in self._hidden.items()}
        command = self._replace(executor_input_dict=executor_input_dict, **given)
        return [_exchanged(part, shown) for part in command]


def _exchanged(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, str):
        for word, other in words.items():
            value = value.replace(word, other)
        return value
    if isinstance(value, dict):
        return {_exchanged(key, words): _exchanged(inner, words) for key, inner in value.items()}
    return [_exchanged(inner, words) for inner in value] if isinstance(value, list) else value


def _with_whole_numbers(value: Any) -> Any:
    """Returns a list or mapping with whole numbers as such: KFP's protobuf makes floats of them here."""
    if isinstance(value, dict):
        return {key: _with_whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_WHOLE else value
