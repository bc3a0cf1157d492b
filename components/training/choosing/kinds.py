"""The kinds of model, and what of the parameters applies to each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.spelling import suggestion

AUTO, NETWORK, TREES, LINEAR = KINDS = ("auto", "network", "trees", "linear")
EVERY_KINDS = ("class_weights", "seed", "custom")
"""The hyperparameters that are not the network's only."""


def checked_kind(kind: str, module: str, workers: int) -> str:
    """Returns the kind of model to train: `auto` is `network` where nothing else can be trained.

    Args:
        kind: The parameter `model`.
        module: The parameter of that name.
        workers: How many train together.

    Raises:
        UserError: It is no kind, or module or workers do not go with it.
    """
    if kind not in KINDS:
        raise UserError(f"model_kind: {kind!r} is not one of {', '.join(KINDS)}{suggestion(kind, KINDS)}")
    if kind == NETWORK or (not module and workers == 1):
        return kind
    other = "a module is a network of its own" if module else f"{workers} workers train a network together"
    if kind == AUTO:
        print(f"model: auto is network here, because {other}", flush=True)
        return NETWORK
    raise UserError(f"model_kind: {other}, which {kind} cannot be; give model_kind=network, or leave the other out")


def checked_rises_with(rises_with: str | Mapping[str, Any], numeric: list[str], kind: str) -> dict[str, int]:
    """Returns 1 or -1 by quantity: whether predictions may only rise, or only fall, as it rises.

    Args:
        rises_with: `rises` or `falls` by feature, as JSON or a mapping.
        numeric: The quantities.
        kind: The kind of model.

    Raises:
        UserError: A name is no quantity, a word is neither, or the kind cannot keep it.
    """
    words = {"rises": 1, "falls": -1}
    rises_with = _mapping(rises_with)
    for name, word in rises_with.items():
        if name not in numeric:
            raise UserError(f"rises_with: {name!r} is no numeric feature{suggestion(name, numeric)}")
        if not isinstance(word, str) or word not in words:
            raise UserError(f"rises_with: {name}: {word!r} is neither rises nor falls")
    if rises_with and kind not in (TREES, AUTO):
        raise UserError(f"rises_with: only trees can be held to it, and the model is {kind}; give model_kind=trees")
    return {name: words[word] for name, word in rises_with.items()}


def _mapping(rises_with: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(rises_with, str):
        return rises_with
    try:
        content = json.loads(rises_with) if rises_with.strip() else {}
    except ValueError as error:
        raise UserError(f'rises_with: not JSON: {error}; give an object, such as {{"price": "falls"}}') from error
    if not isinstance(content, dict):
        raise UserError(f'rises_with: {rises_with!r} is no JSON object; give one, such as {{"price": "falls"}}')
    return content


def say_what_does_not_apply(settings: Hyperparameters, given: Mapping[str, bool]) -> None:
    """Prints a line that names what was given and only a network has; nothing where there is none.

    Args:
        settings: The hyperparameters.
        given: Whether each other parameter was given, by name.
    """
    defaults = Hyperparameters()
    names = [
        field.name
        for field in dataclasses.fields(settings)
        if field.name not in EVERY_KINDS and getattr(settings, field.name) != getattr(defaults, field.name)
    ]
    names += [name for name, was_given in given.items() if was_given]
    if names:
        print(f"{', '.join(names)}: a network's, and nothing to this model", flush=True)
