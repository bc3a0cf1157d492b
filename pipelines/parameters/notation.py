"""Parameters as a command line gives them: from a file, and one by one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.parameters import written


@dataclass(frozen=True)
class Repeated:
    """The texts of a parameter that was given several times: a list's elements."""

    texts: tuple[str, ...]


def read_parameters(path: Path | None) -> dict[str, Any]:
    """Returns the parameters in a YAML or JSON file, as they are written there; none without a file.

    Raises:
        UserError: The file cannot be read, or holds something else.
    """
    if path is None:
        return {}
    content = written.read(path)
    return mapping(content, str(path)) if content else {}


def mapping(content: written.Written, what: str) -> dict[str, Any]:
    """Returns a mapping's values by parameter name.

    Raises:
        UserError: It is no mapping; `what` it stands in begins the error.
    """
    if not isinstance(content.content, dict):
        raise UserError(f"{what}: must hold a mapping of parameter names to values")
    return dict(content.content)


def split_parameters(parameters: tuple[str, ...]) -> dict[str, Any]:
    """Returns the parameters given as `name=value`; one that is given several times as all its texts.

    Raises:
        UserError: One of them is written otherwise.
    """
    found: dict[str, tuple[str, ...]] = {}
    for parameter in parameters:
        name, separator, value = parameter.partition("=")
        if not separator or not name:
            raise UserError(f"-p {parameter}: write it as -p name=value")
        found[name] = (*found.get(name, ()), value)
    return {name: texts[0] if len(texts) == 1 else Repeated(texts) for name, texts in found.items()}
