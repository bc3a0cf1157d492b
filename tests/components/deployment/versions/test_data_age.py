"""Which model was trained on newer data: pure logic, no server."""

from __future__ import annotations

import pytest

from mainspring.components.common.manifests import REGRESSION, ModelManifest
from mainspring.components.deployment.versions import data_age


def trained_on(*spans: str) -> ModelManifest:
    return ModelManifest(REGRESSION, "y", [], {"x": "numeric"}, {}, 1, "", "", "", "", {}, spans=list(spans))


@pytest.mark.parametrize(
    ("ours", "theirs", "is_older"),
    [
        (("2026-03-01",), ("2026-03-05",), True),
        (("2026-02-01", "2026-03-05"), ("2026-03-05",), False),
        (("2026-03-06",), ("2026-03-05",), False),
        (("9",), ("10",), True),
        (("10",), ("9",), False),
        (("all",), ("2026-03-05",), False),
        (("2026-03-01",), ("all",), False),
        ((), ("3",), False),
        (("2026-03-01",), ("2026-03-05T10",), False),
    ],
)
def test_a_model_is_older_where_its_data_end_before_the_others_and_that_can_be_told(ours, theirs, is_older):
    assert bool(data_age.older(trained_on(*ours), trained_on(*theirs))) is is_older
