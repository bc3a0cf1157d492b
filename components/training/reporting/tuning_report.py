"""The page that shows what tuning tried."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from markupsafe import Markup

from mainspring.components.common import report

SHOWN = 100


@dataclass(frozen=True)
class Trial:
    """One training of a tuning."""

    number: int
    state: str
    """`complete`, `cut short` or `failed`."""
    hyperparameters: dict[str, Any]
    """Those that were searched."""
    eval_loss: float
    """The best epoch's; NaN where there was none."""
    metric: float
    epochs: int | None
    seconds: float
    error: str

    def as_json(self) -> dict[str, Any]:
        """Returns the trial as JSON has it: null for a figure that there is not."""
        values = asdict(self)
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }


def tuning_page(label: str, trials: Sequence[Trial], best: Trial, chosen: str) -> str:
    """Returns the page: the best hyperparameters, how they were found, and every trial.

    Args:
        label: The label's column.
        trials: All that ended.
        best: The best of them.
        chosen: The hyperparameters to train with, as JSON.
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    lowest = accumulate((trial.eval_loss for trial in complete), min)
    history = report.line_chart(
        {
            "trial": [(trial.number, trial.eval_loss) for trial in complete],
            "best so far": [(trial.number, value) for trial, value in zip(complete, lowest, strict=True)],
        },
        x_label="trial",
        y_label="eval loss",
    )
    return report.page(
        f"Tuning for {label}",
        (None, f"Trial {best.number} of {len(trials)} is the best: eval loss {best.eval_loss:.4f}."),
        [
            (
                "Best hyperparameters",
                report.key_values({name: _text(value) for name, value in json.loads(chosen).items()}),
            ),
            ("History", history),
            ("Trials", _table(sorted(trials, key=_order)[:SHOWN])),
        ],
    )


def _order(trial: Trial) -> tuple[bool, bool, float]:
    known = math.isfinite(trial.eval_loss)
    return trial.state != "complete", not known, trial.eval_loss if known else 0.0


def _table(trials: Sequence[Trial]) -> Markup:
    headers = ["trial", "state", "eval loss", "metric", "epochs", "seconds", "hyperparameters"]
    rows: list[list[report.Cell]] = []
    for trial in trials:
        tried = trial.error or ", ".join(f"{name} {_text(value)}" for name, value in trial.hyperparameters.items())
        figures = [value if math.isfinite(value) else None for value in (trial.eval_loss, trial.metric)]
        rows.append([trial.number, trial.state, *figures, trial.epochs, trial.seconds, tried])
    return report.table(headers, rows)


def _text(value: Any) -> str:
    return report.number_text(value) if isinstance(value, (int, float)) else json.dumps(value)
