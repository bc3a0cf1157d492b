"""Texts that a cluster would change on their way to a step, refused before they are sent.

KFP passes parameters through Kubernetes' arguments and Argo's templates. Kubernetes makes `$` of `$$` and puts a
variable's value in the place of `$(NAME)`; KFP and Argo replace `{{…}}`. How often a text passes through them depends
on the pipeline, so there is no escape that would be right. A run on this machine changes none of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml
from mainspring.pipelines.compiling.light_kfp import PipelineSpec
from mainspring.pipelines.parameters.declared import parameters

CHANGED = (
    (re.compile(r"\$\$"), "`$$`, of which Kubernetes makes `$`", "in SQL, write the quotes as '' instead"),
    (
        re.compile(r"\$\([^)]*\)"),
        "`$(…)`, which Kubernetes takes for a variable's name",
        "put a blank before the bracket",
    ),
    (re.compile(r"\{\{"), "`{{`, with which a placeholder of KFP's begins", "put a blank between the brackets"),
)


def refuse_changed_texts(spec: PipelineSpec, arguments: dict[str, Any]) -> None:
    """Refuses arguments, and defaults that they leave in force, that a cluster would not pass on as they are.

    Args:
        spec: The pipeline.
        arguments: Its typed arguments.

    Raises:
        UserError: A text holds what KFP, Argo or Kubernetes replace.
    """
    defaults = {name: parameter.default for name, parameter in parameters(spec).items()}
    for name, value in (defaults | arguments).items():
        for text in _texts(value):
            for pattern, what, cure in CHANGED:
                if pattern.search(text):
                    source = "" if name in arguments else ", its default"
                    raise UserError(
                        f"parameter {name} is {strict_yaml.shown(text)}{source}; it holds {what} on a cluster; {cure}"
                    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
