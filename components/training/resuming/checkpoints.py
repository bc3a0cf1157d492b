"""Checkpoints: weights, optimizer and position of a training, so that a retry goes on where the last try was.

Each training has a folder of its own, named by a hash of all it is made from (examples, schema, hyperparameters, code):
another model's checkpoints are never met. A checkpoint is one file, `step-<n>.npz`, written aside and renamed; numpy's
format carries checksums, and one that cannot be read is passed over for the one before it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainspring.components.common.errors import UserError
from mainspring.components.training.resuming.checkpoint_folder import Folder, open_folder

KEPT = 2
"""The newest, and the one before it in case that one cannot be read."""
FORMAT = 1
UNREADABLE = (
    *(ValueError, KeyError, TypeError, AttributeError, OSError, EOFError),
    *(UserError, zipfile.BadZipFile, zlib.error),
)
"""What numpy, JSON and the storage make of a file that is half-written, or no checkpoint at all."""


@dataclass(frozen=True)
class State:
    """Where a training is."""

    step: int
    """Steps done."""
    loss_sum: float
    """Of the steps done in this epoch."""
    history: tuple[Mapping[str, Any], ...]
    """An epoch each, as `fitting.Epoch` has it."""
    best_epoch: int
    """Its place in the history; -1: none yet."""
    variables: Sequence[np.ndarray]
    """The model's, those of its random numbers too."""
    slots: Sequence[np.ndarray]
    """The optimizer's."""
    best_weights: Sequence[np.ndarray]


class Checkpoints:
    """The checkpoints of one training."""

    def __init__(self, uri: str, made_from: Mapping[str, Any], is_chief: bool) -> None:
        """Opens the training's folder.

        Args:
            uri: Folder of all trainings' checkpoints: a path, or a bucket's.
            made_from: All that decides what the training does, as JSON would have it.
            is_chief: Whether this worker writes.

        Raises:
            UserError: The URI's scheme is not supported.
        """
        digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
        self.uri = f"{uri.rstrip('/')}/{digest}"
        self._folder: Folder = open_folder(self.uri)
        self._is_chief = is_chief

    def save(self, state: State) -> None:
        """Writes a checkpoint and removes those that it makes superfluous.

        Raises:
            RetriableError: The folder cannot be written at present.
        """
        if not self._is_chief:
            return
        content = io.BytesIO()
        groups = {"variables": state.variables, "slots": state.slots, "best_weights": state.best_weights}
        arrays = {f"{group}-{place}": array for group, found in groups.items() for place, array in enumerate(found)}
        described = {key: value for key, value in _fields(state).items() if key not in groups}
        described |= {"format": FORMAT, "counts": {group: len(found) for group, found in groups.items()}}
        np.savez(content, state=np.array(json.dumps(described)), allow_pickle=False, **arrays)
        self._folder.write(_name(state.step), content.getvalue())
        for name in self._names()[:-KEPT]:
            self._folder.remove(name)

    def latest(self, variables: Sequence[np.ndarray], slots: Sequence[np.ndarray]) -> State | None:
        """Returns the newest checkpoint that can be read and fits; None if there is none.

        Args:
            variables: The model's variables as they are now: what a checkpoint's must look like.
            slots: The optimizer's.

        Raises:
            UserError: The folder is in a bucket that is not there or may not be read.
        """
        for name in reversed(self._names()):
            try:
                state = _parsed(self._folder.read(name))
            except UNREADABLE as error:
                print(f"checkpoint {self.uri}/{name} is passed over: it cannot be read ({error})", flush=True)
                continue
            if _shapes(state.variables) != _shapes(variables) or _shapes(state.slots) != _shapes(slots):
                print(f"checkpoint {self.uri}/{name} is passed over: it is of another model", flush=True)
                continue
            return state
        return None

    def remove(self) -> None:
        """Removes the folder: the training is done."""
        if self._is_chief:
            for name in self._folder.names():
                if re.fullmatch(r"step-\d+\.npz|\.step-\d+\.npz\..*", name):  # Half-written by killed tries, too.
                    self._folder.remove(name)

    def _names(self) -> list[str]:
        return sorted(name for name in self._folder.names() if re.fullmatch(r"step-\d+\.npz", name))


def _fields(state: State) -> dict[str, Any]:
    """Returns the fields by name, arrays uncopied."""
    return {name: getattr(state, name) for name in State.__dataclass_fields__}


def _name(step: int) -> str:
    return f"step-{step:010}.npz"


def _parsed(content: bytes) -> State:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        described = json.loads(str(file["state"]))
        if described.pop("format") != FORMAT:
            raise ValueError("written by another version of Mainspring")
        groups = {
            group: [file[f"{group}-{place}"] for place in range(count)]
            for group, count in described.pop("counts").items()
        }
    fields: dict[str, Any] = described | groups | {"history": tuple(described["history"])}
    return State(**fields)


def _shapes(arrays: Sequence[np.ndarray]) -> list[tuple[tuple[int, ...], str]]:
    return [(array.shape, array.dtype.str) for array in arrays]
