"""A second process that sends requests without pause; the full figure is `tests/benchmarks/serving_bench.py`'s."""

from __future__ import annotations

import array
import json
import subprocess
import sys
from pathlib import Path

import pytest
from traffic import ROW

from mainspring.components.deployment.deploy_model import deploy_model
from mainspring.components.deployment.local import local_target

CLIENT = Path(__file__).parents[3] / "benchmarks" / "load_client.py"
pytestmark = pytest.mark.usefixtures("warm_serving")
TARGET = "local://loaded"


def test_no_request_fails_through_deploy_canary_promotion_and_rollback(root, saved_models, judged, tmp_path):
    deploy_model(str(saved_models / "a"), *judged("a"), TARGET)
    port = local_target.list_endpoints()[0].port
    request, out = tmp_path / "request.json", tmp_path / "seen"
    request.write_text(json.dumps({"instances": [ROW]}))
    command = [sys.executable, str(CLIENT), str(port), "loaded", str(request), "51", "2", str(out)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        deploy_model(str(saved_models / "b"), *judged("b"), TARGET, rollout="0,50,100", rollout_seconds=1)
        local_target.rollback("loaded")
        assert client.stdin is not None
        client.stdin.close()
        assert client.wait() == 0
    finally:
        client.kill()
        client.wait()
    seen = array.array("d", out.read_bytes())
    statuses, versions = seen[2::4], seen[3::4]
    assert set(statuses) == {200.0}
    assert len(statuses) > 50
    assert {1.0, 2.0} == set(versions), "both versions have answered"
