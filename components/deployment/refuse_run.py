"""Ends a run whose data or model was refused."""

from __future__ import annotations

from pathlib import Path

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError, refusal

FAIL = "fail"
SKIP = "skip"


def refuse_run(stage: str, reasons: str, on_refusal: str = FAIL, page: str = "") -> str:
    """Says why a stage refused, and fails unless told otherwise.

    Args:
        stage: What was refused: `data` or `model`, or the `start` of the run.
        reasons: The verdict's reasons, separated by newlines.
        on_refusal: `fail` or `skip`.
        page: Where to write a page that says the same; empty: nowhere.

    Returns:
        What was refused and why, in one line.

    Raises:
        UserError: `on_refusal` is `fail`, or neither word.
    """
    if on_refusal not in (FAIL, SKIP):
        raise UserError(f"on_refusal {on_refusal!r}: must be {FAIL!r} or {SKIP!r}")
    lines = [line.strip() for line in reasons.splitlines() if line.strip()] or ["no reason was given"]
    message = refusal(stage, reasons)
    if page:
        # Indented: what the data say is shown as it is, and not read as Markdown.
        shown = "".join(f"    {line}\n" for line in lines)
        storage.write_atomically(Path(page), f"The {stage} was refused. Nothing was deployed.\n\n{shown}")
    if on_refusal == FAIL:
        raise UserError(message)
    print(message, flush=True)
    return message
