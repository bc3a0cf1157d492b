"""What a run begins with: the spans to read, and what the target serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import targets
from mainspring.components.deployment.resolve_champion import resolve_champion
from mainspring.components.ingestion import recipe
from mainspring.components.ingestion.resolve_spans import SKIP, resolve_spans

PARTS = {
    "branches": "on_refusal=skip and on_too_few=skip",
    "approval": "approvers",
    "notification": "notify_to",
}
"""Parts that a pipeline has only where it was compiled with them, and the parameters that ask for each."""


class Inputs(NamedTuple):
    """What there is to read, and to beat."""

    spans: str
    fingerprint: str
    enough: bool
    reason: str
    champion_uri: str
    baseline_uri: str
    version: int
    parent_uri: str


def resolve_inputs(
    source: str,
    target: str,
    span: str = "latest",
    window: int = 1,
    scheduled_time: str = "",
    exclude: str = "",
    min_spans: int = 1,
    on_too_few: str = "fail",
    due: str = "",
    created: str = "",
    models_root: str = "",
    warm_start: bool = False,
    query: str = "",
    tables: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
    eval_fraction: float = 0.2,
    split_columns: Sequence[str] = (),
    time_column: str = "",
    file_format: str = "auto",
    csv_columns: Sequence[str] = (),
    encoding: str = "utf-8",
    missing_words: Sequence[str] = (),
    on_refusal: str = "fail",
    approvers: str = "",
    notify_to: Sequence[str] = (),
    parts: str = "",
) -> Inputs:
    """Returns the spans to read, as `resolve_spans`, and what is served, as `resolve_champion`.

    Raises:
        UserError: As these two; or a parameter asks for a part that the pipeline was compiled without.
    """
    asked = {"branches": SKIP in (on_refusal, on_too_few), "approval": bool(approvers), "notification": bool(notify_to)}
    for part, is_asked in asked.items():
        if is_asked and part not in parts.split():
            raise UserError(
                f"{PARTS[part]}: this file was compiled without the {part} that this takes; compile it with the "
                "parameter (mainspring compile continuous_training -p …), or run it by name"
            )
    if on_refusal not in ("fail", SKIP):
        raise UserError(f"on_refusal {on_refusal!r}: must be 'fail' or 'skip'")
    targets.parse(target)
    found = resolve_spans(source, span, window, scheduled_time, exclude, min_spans, on_too_few, due, created)
    if not found.enough:
        return Inputs(*found, "", "", 0, "")
    told = recipe.digest(
        source,
        found.spans,
        found.fingerprint,
        query=query,
        tables=tables,
        types=types or {},
        eval_fraction=eval_fraction,
        split_columns=split_columns,
        time_column=time_column,
        file_format=file_format,
        csv_columns=csv_columns,
        encoding=encoding,
        missing_words=missing_words,
    )
    return Inputs(*found, *resolve_champion(target, "", models_root, warm_start, told))
