"""Ends a run whose data or model was refused."""

from __future__ import annotations

from mainspring.components.common.errors import UserError

FAIL = "fail"
SKIP = "skip"


def refuse_run(stage: str, reasons: str, on_refusal: str = FAIL) -> None:
    """Says why a stage refused, and fails unless told otherwise.

    Args:
        stage: What was refused: `data` or `model`, or the `start` of the run.
        reasons: The verdict's reasons, separated by newlines.
        on_refusal: `fail` or `skip`.

    Raises:
        UserError: `on_refusal` is `fail`, or neither word.
    """
    if on_refusal not in (FAIL, SKIP):
        raise UserError(f"on_refusal {on_refusal!r}: must be {FAIL!r} or {SKIP!r}")
    said = "; ".join(line.strip() for line in reasons.splitlines() if line.strip()) or "no reason was given"
    message = f"the {stage} was refused: {said}"
    if on_refusal == FAIL:
        raise UserError(message)
    print(message, flush=True)
