"""How much of a long matrix of cases is run: a fixed sample of it, or all of it under `make test-all`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

VARIABLE = "MAINSPRING_TESTS"
IS_WHOLE = os.environ.get(VARIABLE) == "all"

Case = TypeVar("Case")


def sampled(cases: Sequence[Case], number: int) -> Sequence[Case]:
    """Returns so many of the cases, evenly spread and always the same; all of them under `make test-all`."""
    if IS_WHOLE or number >= len(cases):
        return cases
    return [cases[round(place * (len(cases) - 1) / (number - 1))] for place in range(number)]
