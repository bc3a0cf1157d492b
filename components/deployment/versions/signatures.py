"""A SavedModel's serving signatures, read from its protocol buffer without TensorFlow.

Only the few fields on the way there are decoded, by protobuf's wire format (https://protobuf.dev/programming-guides/encoding/):
`SavedModel.meta_graphs` (2), `MetaGraphDef.signature_def` (5), `SignatureDef.inputs` (1) and `.outputs` (2), maps whose
entries have their key in field 1 and their value in field 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest

SERVING = "serving_default"
PREDICTION = "prediction"


@dataclass(frozen=True)
class Signature:
    """Names of a signature's tensors."""

    inputs: frozenset[str]
    outputs: frozenset[str]


def read(saved_model: Path) -> dict[str, Signature]:
    """Returns the signatures by name.

    Raises:
        UserError: The file is no SavedModel's protocol buffer.
    """
    found = {}
    try:
        for meta_graph in _messages(saved_model.read_bytes(), 2):
            for entry in _messages(meta_graph, 5):
                name, value = _entry(entry)
                names = [frozenset(_entry(tensor)[0] for tensor in _messages(value, field)) for field in (1, 2)]
                found[name] = Signature(*names)
    except (ValueError, IndexError) as error:
        raise UserError(f"{saved_model}: not a SavedModel: it cannot be decoded ({error}); export it again") from error
    except OSError as error:
        raise UserError(f"{saved_model}: cannot be read: {error.strerror}") from error
    return found


def check(model: Path, manifest: ModelManifest) -> None:
    """Checks that a model takes what its manifest says, under the names by which it will be asked.

    Raises:
        UserError: It has no serving signature, other inputs than the manifest's features, or no output `prediction`.
    """
    found = read(model / "saved_model.pb")
    if SERVING not in found:
        names = ", ".join(sorted(found)) or "none"
        raise UserError(f"{model}: the SavedModel has no signature {SERVING!r} (it has: {names}); export it with one")
    signature = found[SERVING]
    if PREDICTION not in signature.outputs:
        names = ", ".join(sorted(signature.outputs)) or "none"
        raise UserError(f"{model}: signature {SERVING!r} has no output {PREDICTION!r} (it has: {names})")
    missing, extra = set(manifest.features) - signature.inputs, signature.inputs - set(manifest.features)
    if missing or extra:
        what = "; ".join(
            f"{len(names)} {said}, such as {sorted(names)[0]!r}"
            for names, said in ((missing, "not taken"), (extra, "more than the manifest names"))
            if names
        )
        raise UserError(f"{model}: signature {SERVING!r} is not the manifest's ({what}); train it again")


def _entry(message: bytes) -> tuple[str, bytes]:
    key = next(_messages(message, 1), b"").decode()
    return key, next(_messages(message, 2), b"")


def _messages(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yields the length-delimited values of one field."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            _, place = _varint(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("it ends too early")
            if field == wanted:
                yield message[place : place + length]
            place += length
        else:
            raise ValueError(f"wire type {kind}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise ValueError("a number is too long")
