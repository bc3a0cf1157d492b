"""Requests for a person's approval, and the approvals: JSON files on a path or in a bucket, signed with an SSH key.

The signature covers the request's exact bytes, the decision, the name and the time, so that an approval is for one
model at one target, cannot be moved to another, and says who gave it. Keys are Ed25519 in OpenSSH's own formats: the
ones that people have.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import UserError

REQUEST, ANSWER = "request.json", "answer.json"
APPROVED, REJECTED = "approved", "rejected"


@dataclass(frozen=True)
class Request:
    """What a person is asked for."""

    target: str
    model_fingerprint: str
    evaluation_fingerprint: str
    summary: str
    """What the evaluation says, in a few lines."""
    asked: str
    """ISO 8601, UTC."""
    expires: str
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class Answer:
    """A person's decision."""

    request: str
    """`sha256:<hex>` of the request's bytes."""
    decision: str
    """`APPROVED` or `REJECTED`."""
    by: str
    at: str
    """ISO 8601, UTC."""
    signature: str
    """Ed25519 over the other fields, base64."""


def ask(folder: str, request: Request) -> bytes:
    """Writes a request, unless there is one already; returns the bytes of the one that is there."""
    content = (json.dumps(asdict(request), indent=2) + "\n").encode()
    place = _join(folder, REQUEST)
    if not buckets.is_bucket(place):
        path = storage.as_path(place)
        if not path.exists():
            storage.write_atomically(path, content.decode())
        return path.read_bytes()
    try:
        buckets.create(place, content)
        return content
    except buckets.AlreadyExists:
        return buckets.read(place)


def read_request(folder: str) -> tuple[Request, bytes]:
    """Returns a request and its bytes.

    Raises:
        UserError: There is none.
    """
    content = _read(_join(folder, REQUEST))
    if content is None:
        raise UserError(f"{folder}: there is no request for an approval")
    try:
        return Request(**json.loads(content)), content
    except (ValueError, TypeError) as error:
        raise UserError(f"{folder}: {REQUEST} is not a request for an approval: {error}") from error


def answer(folder: str, decision: str, by: str, key: Path, passphrase: str = "") -> Answer:
    """Signs and writes a decision; one that was given is not changed.

    Raises:
        UserError: The key cannot be read or is of another kind, or there is an answer already.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    _, content = read_request(folder)
    try:
        private = load_ssh_private_key(key.read_bytes(), passphrase.encode() or None)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{key}: not a private key in OpenSSH's format, or its passphrase is wrong: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UserError(f"{key}: is no Ed25519 key; make one with: ssh-keygen -t ed25519")
    draft = Answer(_digest(content), decision, by, _now().isoformat(timespec="seconds"), "")
    signed = {**asdict(draft), "signature": base64.b64encode(private.sign(_message(draft))).decode()}
    text = json.dumps(signed, indent=2) + "\n"
    place = _join(folder, ANSWER)
    if buckets.is_bucket(place):
        buckets.create(place, text.encode())
    else:
        if storage.as_path(place).exists():
            raise UserError(f"{place}: was answered already; an answer is not changed")
        storage.write_atomically(storage.as_path(place), text)
    return Answer(**signed)


def read_answer(folder: str, approvers: dict[str, str]) -> Answer | None:
    """Returns the answer to a request, once its signature is that of an approver; None if there is none yet.

    Args:
        folder: Of the request.
        approvers: Public keys (`ssh-ed25519 AAAA…`) by name.

    Raises:
        UserError: There is an answer that is not theirs, is for another request, or was given too late.
    """
    content = _read(_join(folder, ANSWER))
    if content is None:
        return None
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    request, asked = read_request(folder)
    try:
        given = Answer(**json.loads(content))
        at, expires = datetime.fromisoformat(given.at), datetime.fromisoformat(request.expires)
        signature = base64.b64decode(given.signature, validate=True)
    except (ValueError, TypeError) as error:
        raise UserError(f"{folder}: {ANSWER} is not an answer: {error}") from error
    if given.by not in approvers:
        names = ", ".join(sorted(approvers))
        raise UserError(f"{folder}: {given.by!r} answered, who is none of the approvers: {names}")
    try:
        public = load_ssh_public_key(approvers[given.by].encode())
        if not isinstance(public, Ed25519PublicKey):
            raise UserError(f"approvers: {given.by}: the key is no Ed25519 key (ssh-ed25519 AAAA…)")
        public.verify(signature, _message(given))
    except (ValueError, InvalidSignature) as error:
        raise UserError(f"{folder}: the answer is not signed by {given.by}'s key; it does not count") from error
    if given.request != _digest(asked):
        raise UserError(f"{folder}: the answer is for another request; it does not count")
    if not datetime.fromisoformat(request.asked) <= at <= expires:
        raise UserError(
            f"{folder}: the answer was given at {given.at}, not between {request.asked} and {request.expires}; it does "
            "not count"
        )
    return given


def _message(given: Answer) -> bytes:
    fields = {key: value for key, value in asdict(given).items() if key != "signature"}
    return b"mainspring approval\n" + json.dumps(fields, sort_keys=True).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _read(place: str) -> bytes | None:
    try:
        return buckets.read(place) if buckets.is_bucket(place) else storage.as_path(place).read_bytes()
    except (buckets.NotFound, FileNotFoundError):
        return None
    except OSError as error:
        raise UserError(f"{place}: cannot be read: {error.strerror or error}") from error


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _now() -> Any:
    return datetime.now(timezone.utc)
