"""What the Kubernetes API says no to, in one line that names what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.common.kubernetes_api import ApiError

PATIENCE_SECONDS = 300.0
"""How long one call is tried again: an API server's upgrade takes minutes."""
REFUSED = (400, 422)
QUOTA = "exceeded quota"
UNCOUNTED = "status unknown for quota"
WEBHOOK = "admission webhook"
UNKNOWN_FIELD = re.compile(r'unknown field "(?:spec\.)?([^"]+)"')

Answer = TypeVar("Answer")


class AlreadyThereError(Exception):
    """There is an object of that name."""


def told(call: Callable[[], Answer], kind: str, namespace: str, missing: str) -> Answer:
    """Does a call, and says why it cannot be done.

    Args:
        call: Repeats itself while that may help.
        kind: Of the object, such as `TrainJob`.
        namespace: Where.
        missing: What to say where the API does not know what is asked for.

    Raises:
        AlreadyThereError: There is an object of that name.
        UserError: The account may not, something is missing, or the object is refused.
        RetriableError: The API did not answer in minutes.
    """
    try:
        return call()
    except ApiError as error:
        where, says = f"namespace {namespace}", str(error)
        answer = says.partition(f": {error.status}: ")[2] or says
        if error.status == 409:
            raise AlreadyThereError from error
        if error.status == 403 and UNCOUNTED in answer:
            raise RetriableError(f"{where}: {answer}; a new quota takes a minute to be counted") from error
        if error.status == 403 and QUOTA in answer:
            raise UserError(f"{where}: there is no room for {_article(kind)}: {answer}") from error
        if error.status == 403 and WEBHOOK not in answer:
            raise UserError(
                f"{where}: this account may not do what {_article(kind)} needs ({answer}); "
                "manifests/base/runner-role.yaml holds the Role"
            ) from error
        if error.status == 404:
            raise UserError(missing) from error
        if error.status in REFUSED or error.refuses:
            raise UserError(f"{where}: the {kind} is refused: {answer}") from error
        raise RetriableError(f"{where}: the Kubernetes API does not answer: {answer}") from error


def unknown_fields(error: ApiError) -> list[str]:
    """Returns the fields of `spec` that the cluster does not know, as a strict request is told."""
    return UNKNOWN_FIELD.findall(str(error)) if error.status in REFUSED else []


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"
