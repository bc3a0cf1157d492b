"""What the Kubernetes API says no to, in one line that names what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.training.distributed.api_retries import persistently, reason, status

REFUSED = (400, 422)

Answer = TypeVar("Answer")


class AlreadyThereError(Exception):
    """There is an object of that name."""


def told(call: Callable[[], Answer], kind: str, namespace: str, missing: str) -> Answer:
    """Does a call persistently, and says why it cannot be done.

    Args:
        call: May be done more than once.
        kind: Of the object, such as `TrainJob`.
        namespace: Where.
        missing: What to say where the API does not know what is asked for.

    Raises:
        AlreadyThereError: There is an object of that name.
        UserError: The account may not, something is missing, or the object is refused.
        RetriableError: The API did not answer in minutes.
    """
    try:
        return persistently(call)
    except Exception as error:
        found, where = status(error), f"namespace {namespace}"
        if found == 409:
            raise AlreadyThereError from error
        if found == 403:
            raise UserError(
                f"{where}: this account may not do what {_article(kind)} needs ({_answer(error)}); "
                "manifests/base/runner-role.yaml holds the Role"
            ) from error
        if found == 404:
            raise UserError(missing) from error
        if found in REFUSED:
            raise UserError(f"{where}: the {kind} is refused: {_answer(error)}") from error
        raise RetriableError(f"{where}: the Kubernetes API does not answer: {reason(error)}") from error


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def _answer(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause and not getattr(cause, "body", None):
        cause = cause.__cause__
    try:
        return str(json.loads(getattr(cause, "body", ""))["message"])[:400]
    except (ValueError, KeyError, TypeError):
        return reason(error)
