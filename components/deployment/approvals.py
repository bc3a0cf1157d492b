"""Requests for a person's approval, and the approvals: JSON files on a path or in a bucket, signed with an SSH key.

The signature covers the request's exact bytes, the decision, the name and the time, so that an approval is for one
model at one target, cannot be moved to another, and says who gave it. Keys are Ed25519 in OpenSSH's own formats: the
ones that people have.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, field
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
    approvers: dict[str, str] = field(default_factory=dict)
    """Who may answer: public keys by name. The run that asks goes by its own list."""


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


class Uncounted(UserError):
    """An answer that does not count: of nobody who may give it, for another request, or given too late."""


def ask(folder: str, request: Request) -> bytes:
    """Writes a request, unless one is there that can still be answered or was; returns the bytes of what is there.

    A request that nobody answered in time is asked again.
    """
    content = (json.dumps(asdict(request), indent=2) + "\n").encode()
    there = _read(_join(folder, REQUEST))
    if there is not None and not _is_over(folder, request.approvers):
        return there
    if not _write(_join(folder, REQUEST), content, there is not None):
        return _read(_join(folder, REQUEST)) or content  # Another run was faster.
    return content


def _is_over(folder: str, approvers: dict[str, str]) -> bool:
    """Returns whether a request has expired without an answer that counts."""
    request, _ = read_request(folder)
    if datetime.fromisoformat(request.expires) >= _now():
        return False
    try:
        return read_answer(folder, approvers) is None
    except Uncounted:
        return True


def _write(place: str, content: bytes, again: bool) -> bool:
    """Writes a file or an object, over an earlier one if told so; returns whether nobody was faster."""
    if not buckets.is_bucket(place):
        storage.write_atomically(storage.as_path(place), content.decode())
        return True
    found = buckets.stat(place) if again else None
    try:
        if found:
            buckets.replace(found, content)
        else:
            buckets.create(place, content)
    except buckets.AlreadyExists:
        return False
    return True


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
    """Signs and writes a decision; one that counts is not changed.

    Raises:
        UserError: The key cannot be read, is of another kind or of nobody who may answer, the request has expired, or
            there is an answer already. Nothing is written then.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    request, content = read_request(folder)
    _check_name(folder, request, by)
    try:
        private = load_ssh_private_key(key.read_bytes(), passphrase.encode() or None)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{key}: not a private key in OpenSSH's format, or its passphrase is wrong: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UserError(f"{key}: is no Ed25519 key; make one with: ssh-keygen -t ed25519")
    check_approver(folder, request, by)
    draft = Answer(_digest(content), decision, by, _now().isoformat(timespec="seconds"), "")
    signed = {**asdict(draft), "signature": base64.b64encode(private.sign(_message(draft))).decode()}
    given = Answer(**signed)
    if request.approvers:
        try:
            _check(folder, request, content, given, request.approvers)
        except Uncounted as error:
            raise UserError(f"{error}; nothing was written") from error
    place = _join(folder, ANSWER)
    there = _read(place)
    if there is not None and _counts(folder, request.approvers):
        raise UserError(f"{place}: was answered already; an answer is not changed")
    if not _write(place, (json.dumps(signed, indent=2) + "\n").encode(), there is not None):
        raise UserError(f"{place}: somebody else answered at the same moment; an answer is not changed")
    return given


def check_approver(folder: str, request: Request, by: str) -> None:
    """Checks that a person may answer a request, and still can.

    Raises:
        UserError: They may not, or it has expired.
    """
    _check_name(folder, request, by)
    if datetime.fromisoformat(request.expires) < _now():
        raise UserError(f"{folder}: the request expired at {request.expires}; run the pipeline again, which asks again")


def _check_name(folder: str, request: Request, by: str) -> None:
    if request.approvers and by not in request.approvers:
        names = ", ".join(sorted(request.approvers))
        raise UserError(f"{folder}: {by!r} is none of the approvers ({names}); nothing was written")


def _counts(folder: str, approvers: dict[str, str]) -> bool:
    """Returns whether the answer that is there counts; without a list of approvers, any does."""
    try:
        return not approvers or read_answer(folder, approvers) is not None
    except Uncounted:
        return False


def read_answer(folder: str, approvers: dict[str, str]) -> Answer | None:
    """Returns the answer to a request, once its signature is that of an approver; None if there is none yet.

    Args:
        folder: Of the request.
        approvers: Public keys (`ssh-ed25519 AAAA…`) by name.

    Raises:
        Uncounted: There is an answer that is not theirs, is for another request, or was given too late.
    """
    content = _read(_join(folder, ANSWER))
    if content is None:
        return None
    request, asked = read_request(folder)
    try:
        given = Answer(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise Uncounted(f"{folder}: {ANSWER} is not an answer: {error}") from error
    _check(folder, request, asked, given, approvers)
    return given


def _check(folder: str, request: Request, asked: bytes, given: Answer, approvers: dict[str, str]) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        at, expires = datetime.fromisoformat(given.at), datetime.fromisoformat(request.expires)
        signature = base64.b64decode(given.signature, validate=True)
    except (ValueError, TypeError) as error:
        raise Uncounted(f"{folder}: {ANSWER} is not an answer: {error}") from error
    if given.by not in approvers:
        names = ", ".join(sorted(approvers))
        raise Uncounted(f"{folder}: {given.by!r} answered, who is none of the approvers: {names}")
    try:
        public = load_ssh_public_key(approvers[given.by].encode())
        if not isinstance(public, Ed25519PublicKey):
            raise UserError(f"approvers: {given.by}: the key is no Ed25519 key (ssh-ed25519 AAAA…)")
        public.verify(signature, _message(given))
    except (ValueError, InvalidSignature) as error:
        raise Uncounted(f"{folder}: the answer is not signed by {given.by}'s key; it does not count") from error
    if given.request != _digest(asked):
        raise Uncounted(f"{folder}: the answer is for another request; it does not count")
    if not datetime.fromisoformat(request.asked) <= at <= expires:
        raise Uncounted(
            f"{folder}: the answer was given at {given.at}, not between {request.asked} and {request.expires}; it does "
            "not count"
        )


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
