"""YAML that a person wrote, read strictly: what they cannot have meant is refused, not guessed at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError

MOST_NODES = 100_000
"""So many values a text may have with its aliases written out: a few lines can stand for more than any memory."""

LARGEST = 2**63
"""Nothing is meant by a whole number beyond it, and arithmetic on larger ones fails."""

SHOWN = 200
"""So many characters of a wrong text an error repeats."""


def load(text: str, what: str) -> Any:
    """Returns what YAML says; None if it is empty.

    Args:
        text: The YAML.
        what: It is, such as `policy`: how an error begins.

    Raises:
        UserError: It is no YAML, has a key twice, holds itself, or holds a number that is too large.
    """
    loader, node = composed(text, what)
    if node is None:
        return None
    with _faults_in_words(what):
        content = loader.construct_document(node)
    _refuse_large(content, what)
    return content


def composed(text: str, what: str) -> tuple[Any, Any]:
    """Returns PyYAML's loader and the node of the one document, for who needs the spelling; the node is None if empty.

    Raises:
        UserError: It is no YAML, has a key twice, or holds itself.
    """
    if not text:
        return None, None
    import yaml

    with _faults_in_words(what):
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            _expanded(node, what, {})
    return loader, node


def read(path: Path) -> Any:
    """Returns what a YAML or JSON file says; None if it is empty.

    Raises:
        UserError: It cannot be read, or as `load` raises.
    """
    return load(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Returns a YAML or JSON file's text.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not YAML: it is not UTF-8") from error


@contextlib.contextmanager
def _faults_in_words(what: str) -> Iterator[None]:
    import yaml

    try:
        yield
    except RecursionError as error:
        raise UserError(f"{what}: is not YAML: its values are nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # A date such as 2026-02-30 is a ValueError.
        raise UserError(f"{what}: is not YAML: {' '.join(str(error).split())[:SHOWN]}") from error


def shown(value: Any) -> str:
    """Returns a value as an error repeats it: how it begins."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _expanded(node: Any, what: str, sizes: dict[int, int]) -> int:
    """Returns how many values a node stands for, after checking its keys."""
    import yaml

    if id(node) in sizes:
        if not sizes[id(node)]:
            raise UserError(f"{what}: a value holds itself (*alias within its own &anchor)")
        return sizes[id(node)]
    sizes[id(node)] = 0
    children = list(node.value) if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise UserError(f"{what}: the key {shown(key.value)} occurs twice; keep one of them")
                seen.add(key.value)
            children += [key, value]
    size = 1 + sum(_expanded(child, what, sizes) for child in children)
    if size > MOST_NODES:
        raise UserError(f"{what}: it stands for more than {MOST_NODES:,} values")
    sizes[id(node)] = size
    return size


def _refuse_large(content: Any, what: str) -> None:
    if isinstance(content, dict | list | tuple | set):
        items = [*content, *content.values()] if isinstance(content, dict) else content
        for item in items:
            _refuse_large(item, what)
    elif isinstance(content, int) and abs(content) > LARGEST:
        raise UserError(f"{what}: it holds a whole number of more than 19 digits; give one that is meant")
