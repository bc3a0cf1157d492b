"""What users wait for by default. Tests set the durations of a package in its one module, and nowhere else."""

from __future__ import annotations

from types import ModuleType

import pytest

from mainspring.components.common import kubernetes_api
from mainspring.components.deployment.kserve import durations as kserve
from mainspring.components.deployment.local import durations as local

API = {
    "CALL_SECONDS": 20,
    "PATIENCE_SECONDS": 60,
    "FIRST_PAUSE": 0.2,
    "LONGEST_PAUSE": 10,
    "CONFLICT_SECONDS": 0.5,
    "SAID_SECONDS": 2,
}
KSERVE = {
    "CONFLICT_SECONDS": 0.5,
    "PROMETHEUS_SECONDS": 20,
    "PROMETHEUS_PAUSE_SECONDS": 2,
    "GONE_SECONDS": 60,
    "LOCK_SECONDS": 300,
    "MARGIN_SECONDS": 120,
    "CREATE_SECONDS": 120,
    "ANSWER_SECONDS": 30,
    "ROUTE_SECONDS": 30,
    "ROUTE_PAUSE_SECONDS": 1,
    "POLL_SECONDS": 2,
    "FIRST_WORD_SECONDS": 10,
    "PROGRESS_SECONDS": 60,
    "HOPELESS_SECONDS": 20,
}
LOCAL = {
    "LOCK_SECONDS": 300,
    "FRONT_SECONDS": 60,
    "STEP_POLL_SECONDS": 0.2,
    "ENDING_SECONDS": 1,
    "PAIRS_PAUSE_SECONDS": 0.01,
    "PAIRS_SECONDS": 5,
    "OWN_SECONDS": 120,
    "DRAIN_SECONDS": 60,
    "READY_SECONDS": 180,
    "READY_POLL_SECONDS": 0.1,
    "PROGRESS_SECONDS": 10,
    "HOST_SECONDS": 30,
    "POLL_SECONDS": 0.02,
}


@pytest.mark.parametrize(("package", "wanted"), [(kubernetes_api, API), (kserve, KSERVE), (local, LOCAL)])
def test_the_defaults_are_these(package: ModuleType, wanted: dict[str, float]):
    assert {name: value for name, value in vars(package).items() if name.endswith(("_SECONDS", "_PAUSE"))} == wanted
