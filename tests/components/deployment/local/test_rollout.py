"""Canaries between real model servers behind a real front: promoted, taken back, killed half-way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import conftest
import pytest
from traffic import PREDICTIONS, Traffic, prediction
from until import until

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.deploy_model import deploy_model
from mainspring.components.deployment.local import endpoint_state, local_target, rollout
from mainspring.components.deployment.resolve_champion import resolve_champion

pytestmark = pytest.mark.usefixtures("warm_serving")
TARGET = "local://flights"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One local root for the whole module: its champion is model `a` at the end of each test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSPRING_ROOT", str(tmp_path_factory.mktemp("root")))
        yield Path(os.environ["MAINSPRING_ROOT"])
        conftest.end_all()


@pytest.fixture
def champion(root, saved_models, judged):
    return deploy_model(str(saved_models / "a"), *judged("a"), TARGET)


def endpoint() -> local_target.Endpoint:
    return local_target.list_endpoints()[0]


def alone(version: int) -> bool:
    """Whether one version has all traffic, and no other model server is left."""
    servers = endpoint_state.read("flights").servers
    return (endpoint().version, endpoint().canary, len(servers)) == (version, 0, 1)


def in_background(saved_models, judged, name: str, rollout: str) -> subprocess.Popen[str]:
    code = (
        "import sys; from mainspring.components.deployment.deploy_model import deploy_model\n"
        "deploy_model(*sys.argv[1:5], rollout=sys.argv[5], rollout_seconds=120)"
    )
    command = [sys.executable, "-c", code, str(saved_models / name), *judged(name), TARGET, rollout]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        # Its server and its SavedModel agree: only what evaluation saw tells that this is another model.
        ("b", "rows are not predicted as in its evaluation"),
        ("slow", "a replayed row takes"),
    ],
)
def test_a_canary_that_is_not_what_was_evaluated_or_is_slow_is_taken_back_in_the_dark(
    saved_models, judged, champion, tmp_path, name, why
):
    statistics, evaluation = judged(name)
    model = shutil.copytree(saved_models / name, tmp_path / "model")
    if name == "b":
        Path(evaluation, "replay.json").write_text(json.dumps(conftest.replay_of("c")))
        changed(model / "manifest.json", fingerprint="sha256:mixed-up", examples_fingerprint="sha256:mixed-up")
        changed(Path(evaluation, "evaluation.json"), model_fingerprint="sha256:mixed-up")
    with Traffic(champion.endpoint) as traffic, pytest.raises(UserError, match=f"taken back at 0 %.*{why}") as error:
        deploy_model(str(model), statistics, evaluation, TARGET, rollout="0,50,100", rollout_seconds=1)
    assert "\n" not in str(error.value)
    assert traffic.failed == []
    assert set(traffic.values) == {PREDICTIONS["a"]}, "in the dark, no request reaches the canary"
    assert alone(champion.version)
    with pytest.raises(UserError, match=r"rolled back at .*taken back at 0 %"):
        deploy_model(str(model), statistics, evaluation, TARGET)


def changed(file: Path, **changes: str) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_killed_rollout_is_taken_back_by_another_run_and_finished_by_its_own(saved_models, judged, champion):
    killed = in_background(saved_models, judged, "b", "50,100")
    until(lambda: endpoint().canary)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (endpoint().state, endpoint().version, endpoint().canary_percent) == ("serving", champion.version, 50)
    assert resolve_champion(TARGET).version == champion.version
    with Traffic(champion.endpoint) as traffic:
        assert deploy_model(str(saved_models / "a"), *judged("a"), TARGET) == champion
    assert traffic.failed == []
    assert traffic.values[-1] == PREDICTIONS["a"]
    assert alone(champion.version)

    # A canary whose process ends takes no request with it, and is taken back.
    deploying = in_background(saved_models, judged, "b", "50,100")
    until(lambda: endpoint().canary)
    with Traffic(champion.endpoint) as traffic:
        until(lambda: PREDICTIONS["b"] in traffic.values)
        canary = next(server for server in endpoint_state.read("flights").servers if server.version != champion.version)
        os.kill(canary.process.pid, signal.SIGKILL)
        said = deploying.communicate()[0]
    assert deploying.returncode == 1
    assert "taken back at 50 % of the traffic: its model server ended" in said.splitlines()[-1]
    assert traffic.failed == []
    assert alone(champion.version)


def test_a_good_canary_is_promoted_step_by_step_without_a_failed_request(saved_models, judged, champion, monkeypatch):
    interrupted = in_background(saved_models, judged, "c", "0,20,100")
    until(lambda: endpoint().canary_percent)
    interrupted.kill()
    interrupted.communicate()
    seen, judge = [], rollout._judge

    def watching(*given: object) -> object:
        seen.append((endpoint().version, endpoint().canary_percent))
        return judge(*given)

    monkeypatch.setattr(rollout, "_judge", watching)
    with Traffic(champion.endpoint) as traffic:
        promoted = deploy_model(str(saved_models / "c"), *judged("c"), TARGET, rollout="20,60,100", rollout_seconds=0.5)
    assert traffic.failed == []
    assert set(traffic.values) == {PREDICTIONS["a"], PREDICTIONS["c"]}
    assert seen == [(champion.version, 20.0), (champion.version, 60.0)]
    assert alone(promoted.version)
    assert prediction(promoted.endpoint) == pytest.approx(PREDICTIONS["c"], abs=1e-4)
    assert [taken.version for taken in endpoint_state.read("flights").history][-2:] == [
        champion.version,
        promoted.version,
    ]


def test_the_models_own_predictions_cover_missing_values(root, saved_models, judged, champion):
    server = endpoint_state.read("flights").servers[0]
    own = rollout._own_predictions("flights", server)
    assert {"carrier": "AA"} in own.rows
    assert {"distance": 100.0} in own.rows
    assert len(own.rows) == len(own.predictions)
    json.dumps(own.predictions, allow_nan=False)
