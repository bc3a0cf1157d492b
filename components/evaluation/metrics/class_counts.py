"""When the order of rows says something of two classes: one rule for every metric, gate and slice."""

from __future__ import annotations

LEAST_OF_A_CLASS = 2
"""With fewer rows of a class than these, a rank among the others is that of one row, or of none."""


def undefined_because(positives: int, negatives: int, positive: str, others: str = "the others") -> str:
    """Returns why an area under a curve (or another measure of two classes) is undefined; empty where it is defined.

    Args:
        positives: Rows of the class.
        negatives: Rows of all others.
        positive: The class' name.
        others: What all others are called.
    """
    rows = positives + negatives
    for count, name in ((positives, positive), (negatives, others)):
        if count == 0:
            return f"none of {rows:,} rows is of {name}"
        if count < LEAST_OF_A_CLASS:
            return f"only {count} of {rows:,} rows is of {name}"
    return ""
