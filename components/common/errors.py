"""One exception type for the user's mistakes, printed as one line wherever nobody catches it."""

from __future__ import annotations

import sys
from types import TracebackType

ERROR_PREFIX = "mainspring: error: "
"""What a task's log line begins with when the task ended by a `UserError`; the engines look for it."""


class UserError(Exception):
    """A wrong input, not a bug: its message is one line that names the input, what is wrong and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(visible(" ".join(message.split())))


def visible(text: str) -> str:
    """Returns the text with its control characters written as in a Python string: data must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


MISTAKE_STATUS = 65
"""The exit status of a pod's training that a `UserError` ended (`EX_DATAERR`): pods need not be restarted."""


def refusal(stage: str, reasons: str) -> str:
    """Returns what a gate says when it ends a run, in one line; `is_refusal` knows it again.

    Args:
        stage: What was refused: `data`, `model`, or the `start` of the run.
        reasons: Separated by newlines.
    """
    lines = [line.strip() for line in reasons.splitlines() if line.strip()]
    return f"the {stage} was refused: {'; '.join(lines) or 'no reason was given'}"


def is_refusal(message: str) -> bool:
    """Returns whether a gate said this: the step did nothing, and nothing went wrong."""
    return message.startswith(("the data was refused: ", "the model was refused: "))


RETRIABLE_STATUS = 75
"""The exit status of a task that may succeed when it is tried again (`EX_TEMPFAIL` of sysexits.h)."""


class RetriableError(UserError):
    """A `UserError` whose cause may pass by itself, such as a full disk: the task exits with `RETRIABLE_STATUS`."""


_previous_hook = sys.excepthook


def _print_user_errors_as_one_line(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if isinstance(error, UserError):
        print(f"{ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
        if isinstance(error, RetriableError):
            raise SystemExit(RETRIABLE_STATUS)  # The interpreter exits with what its hook raises.
    else:
        _previous_hook(kind, error, traceback)


# A component's body runs under KFP's executor, which has no place to catch our exceptions: the hook is that place. The
# interpreter still exits with status 1, and every other exception keeps its traceback.
sys.excepthook = _print_user_errors_as_one_line
