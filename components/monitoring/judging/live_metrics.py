"""Metrics of live predictions with their standard errors, in closed form: no resampling over a million rows.

DuckDB computes them from a table, which need not fit into memory, for all rows or for each value of a feature at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from mainspring.components.common.manifests import BINARY, MULTICLASS, REGRESSION

CLIPPED = 1e-7
"""Keras clips probabilities by so much before it takes their logarithm."""

CONFIDENCE = 1.96

_MEANS = """
    SELECT value, count(*), avg(part), stddev_pop(part) / sqrt(count(*))
    FROM (SELECT {value} AS value, {part} AS part FROM judged) {among}
    GROUP BY value ORDER BY value
"""

# Equal predictions are one row with its counts: a positive has the negatives below it and half of those that are equal.
_AUC = """
    WITH counts AS (
        SELECT {value} AS value, prediction, count(*) FILTER (truth = 1) AS positive,
               count(*) FILTER (truth = 0) AS negative
        FROM judged {among} GROUP BY ALL
    ), ranked AS (
        SELECT value, positive, negative,
               sum(positive) OVER every AS positives, sum(negative) OVER every AS negatives,
               sum(positive) OVER upwards - positive / 2 AS positives_below,
               sum(negative) OVER upwards - negative / 2 AS negatives_below
        FROM counts
        WINDOW every AS (PARTITION BY value),
               upwards AS (PARTITION BY value ORDER BY prediction ROWS UNBOUNDED PRECEDING)
    ), shares AS (
        SELECT value, positive, negative, positives, negatives, negatives_below / nullif(negatives, 0) AS of_positive,
               1 - positives_below / nullif(positives, 0) AS of_negative
        FROM ranked
    ), means AS (
        SELECT value, any_value(positives) AS positives, any_value(negatives) AS negatives,
               sum(positive * of_positive) / any_value(positives) AS auc,
               sum(positive * of_positive * of_positive) / any_value(positives) AS of_positive_squared,
               sum(negative * of_negative * of_negative) / any_value(negatives) AS of_negative_squared
        FROM shares GROUP BY value
    )
    SELECT value, positives + negatives, auc,
           sqrt(greatest(of_positive_squared - auc * auc, 0) / positives
                + greatest(of_negative_squared - auc * auc, 0) / negatives)
    FROM means ORDER BY value
"""
"""The area under the ROC curve, with DeLong's variance (DeLong et al., Biometrics 44, 1988)."""


MIN_OF_A_CLASS = 10
"""A classifier's quality is judged where at least two classes have so many labelled rows each: with fewer, neither AUC
nor its variance says anything (one positive has a variance near zero), and accuracy is that of a constant."""


@dataclass(frozen=True)
class Measured:
    """A metric of some rows."""

    rows: int
    value: float
    """NaN where it is not defined, as AUC of one class."""
    error: float
    """Standard error."""
    unjudged: str = ""
    """Why it says nothing; empty if it does."""


@dataclass(frozen=True)
class Metric:
    """How a metric is computed."""

    tasks: tuple[str, ...]
    higher_is_better: bool
    part: str = ""
    """SQL: what a row adds to the mean that the metric is; empty: the metric is AUC."""
    is_root: bool = False
    """Whether it is the root of that mean."""
    is_relative: bool = False
    """Whether it has the label's unit, so that a loss is a share of what it was."""


_LOGARITHM = f"-ln(least(greatest(if(truth = 1, prediction, 1 - prediction), {CLIPPED}), 1 - {CLIPPED}))"

METRICS = {
    "auc": Metric((BINARY,), True),
    "binary_accuracy": Metric((BINARY,), True, "coalesce(truth = chosen, (prediction > 0.5) = (truth = 1))::DOUBLE"),
    "binary_crossentropy": Metric((BINARY,), False, _LOGARITHM),
    "sparse_categorical_accuracy": Metric((MULTICLASS,), True, "coalesce(truth = chosen, false)::DOUBLE"),
    "root_mean_squared_error": Metric((REGRESSION,), False, "(truth - prediction) ** 2", True, True),
    "mean_squared_error": Metric((REGRESSION,), False, "(truth - prediction) ** 2", is_relative=True),
    "mean_absolute_error": Metric((REGRESSION,), False, "abs(truth - prediction)", is_relative=True),
}
"""By evaluation's names."""

MAIN = {BINARY: "auc", MULTICLASS: "sparse_categorical_accuracy", REGRESSION: "root_mean_squared_error"}


def measure(
    connection: duckdb.DuckDBPyConnection,
    metric: Metric,
    classes: Sequence[str] = (),
    value: str = "''",
    among: str = "",
) -> dict[str, Measured]:
    """Returns a metric of the rows of the table `judged`, for each value of an expression.

    Args:
        connection: With the table: `truth` and `chosen` (values, or classes' indices) and `prediction`.
        metric: One of `METRICS`.
        classes: The model's; empty for regression.
        value: SQL that gives a text of a row; the default: all rows are one.
        among: SQL that gives the texts that are looked at; empty: all.
    """
    query = (_MEANS if metric.part else _AUC).format(
        value=value, part=metric.part, among=f"WHERE value IN ({among})" if among else ""
    )
    lacking = _lacking(connection, classes, value) if classes else {}
    found = {}
    for text, rows, mean, error in connection.execute(query).fetchall():
        mean, error = (math.nan if one is None else float(one) for one in (mean, error))
        if metric.is_root:
            root = math.sqrt(mean)
            mean, error = root, error / (2 * root) if root else 0.0
        found[str(text)] = Measured(int(rows), mean, error, lacking.get(str(text), ""))
    return found


def _lacking(connection: duckdb.DuckDBPyConnection, classes: Sequence[str], value: str) -> dict[str, str]:
    """Returns why rows say nothing of a classifier, by value: fewer than two of its classes are among their labels."""
    counted = connection.execute(
        f"SELECT value, list(rows ORDER BY rows DESC), arg_max(truth, rows) FROM (SELECT {value} AS value, truth,"
        " count(*) AS rows FROM judged GROUP BY ALL) GROUP BY value"
    ).fetchall()
    found = {}
    for text, rows, most in counted:
        usual, total = classes[int(most)], sum(rows)
        if len(rows) == 1:
            found[str(text)] = f"all {total:,} labels are {usual}"
        elif rows[1] < MIN_OF_A_CLASS:
            others = total - rows[0]
            found[str(text)] = (
                f"only {others:,} of {total:,} labels {'is' if others == 1 else 'are'} not {usual}; of two classes "
                f"{MIN_OF_A_CLASS} each are needed"
            )
    return found
