"""Parameters as a command line gives them: from a file, and one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mainspring.components.common import strict_yaml
from mainspring.components.common.errors import UserError


def read_parameters(path: Path | None) -> dict[str, Any]:
    """Returns the parameters in a YAML or JSON file; none without a file.

    Raises:
        UserError: The file cannot be read, or holds something else.
    """
    if path is None:
        return {}
    content = strict_yaml.read(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold a mapping of parameter names to values")
    return content


def split_parameters(parameters: tuple[str, ...]) -> dict[str, str]:
    """Returns the parameters given as `name=value`.

    Raises:
        UserError: One of them is written otherwise.
    """
    split = {}
    for parameter in parameters:
        name, separator, value = parameter.partition("=")
        if not separator or not name:
            raise UserError(f"-p {parameter}: write it as -p name=value")
        split[name] = value
    return split
