"""Values as a file spells them, with the line of each: YAML alone would make 2026-11-01 a date and `no` false."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml

PLAIN_TAGS = ("str", "int", "float", "bool", "null", "timestamp", "seq", "map")
YAML_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Written:
    """A value as its author wrote it."""

    content: str | list[Written] | dict[str, Written]
    """A scalar's text, a list's elements, or a mapping's values by the text of their keys."""
    tag: str
    """What YAML takes it for: `str`, `int`, `float`, `bool`, `null`, `timestamp`, `seq` or `map`."""
    is_quoted: bool
    where: str
    """File and line, as an error begins."""


def read(path: Path) -> Written | None:
    """Returns what a YAML or JSON file says; None if it is empty.

    Raises:
        UserError: It cannot be read, or it holds what no parameter can be.
    """
    return of_text(strict_yaml.read_text(path), str(path))


def of_text(text: str, what: str) -> Written | None:
    """Returns what a text in YAML or JSON says; None if it is empty; `what` it is begins an error."""
    loader, node = strict_yaml.composed(text, what)
    return None if node is None else _written(loader, node, what)


def _written(loader: Any, node: Any, what: str) -> Written:
    import yaml

    where = f"{what}: line {node.start_mark.line + 1}"
    tag = node.tag.removeprefix(YAML_TAG)
    if tag not in PLAIN_TAGS:
        raise UserError(f"{where}: the tag {node.tag.replace(YAML_TAG, '!!')} means nothing here; leave it out")
    if isinstance(node, yaml.ScalarNode):
        return Written(node.value, tag, node.style is not None, where)
    if isinstance(node, yaml.SequenceNode):
        return Written([_written(loader, child, what) for child in node.value], tag, False, where)
    loader.flatten_mapping(node)
    content = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{where}: a key is a list or a mapping; a parameter's name is text")
        content[key.value] = _written(loader, value, what)
    return Written(content, tag, False, where)
