"""The gates before anything is served: pure logic, no server."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.deploy_model import deploy_model, refuse_blessing_of_another_time
from mainspring.components.deployment.local import endpoint_state, local_target
from mainspring.components.deployment.local.endpoint_state import State
from mainspring.components.deployment.local.processes import Process
from mainspring.components.deployment.resolve_champion import resolve_champion
from mainspring.components.deployment.versions import models_root, publish


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"blessed": False}, "not blessed"),
        ({"blessed": "true"}, "not blessed"),
        ({"blessed": None}, "not blessed"),
        ({"model_fingerprint": "sha256:other"}, "another model"),
        ({"model_fingerprint": ""}, "another model"),
    ],
)
def test_a_model_that_is_not_blessed_is_not_published(root, fake_model, judged, changes, said):
    with pytest.raises(UserError, match=said):
        deploy_model(str(fake_model("a")), *judged("a", **changes), "local://flights")
    assert not root.exists()


def test_a_model_without_fingerprint_is_not_blessed_by_an_empty_one(root, fake_model, judged):
    with pytest.raises(UserError, match="another model"):
        deploy_model(str(fake_model("a", fingerprint="")), *judged("a", model_fingerprint=""), "local://flights")


def test_an_evaluation_that_cannot_be_read_is_no_blessing(root, fake_model, judged, tmp_path):
    statistics, evaluation = judged("a")
    for content in (None, "{", "[]", "true"):
        file = tmp_path / "evaluation-a" / "evaluation.json"
        file.unlink(missing_ok=True) if content is None else file.write_text(content)
        with pytest.raises(UserError, match=r"evaluation\.json"):
            deploy_model(str(fake_model("a")), statistics, evaluation, "local://flights")
    assert not root.exists()


@pytest.mark.parametrize(
    "content",
    [None, "{", "[]", '{"instances": [], "predictions": []}', '{"instances": [{"x": 1.0}], "predictions": []}'],
)
def test_a_rollout_by_steps_without_rows_to_judge_by_publishes_nothing(root, fake_model, judged, tmp_path, content):
    statistics, evaluation = judged("a")
    file = tmp_path / "evaluation-a" / "replay.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(UserError, match=r"replay\.json: no held-out rows with predictions to judge by"):
        deploy_model(str(fake_model("a")), statistics, evaluation, "local://flights", rollout="0,50,100")
    assert not root.exists()


def test_a_wrong_target_is_refused_before_anything_is_published(root, fake_model, judged):
    for target in ("kserve://a/b", "local://Flights", "flights"):
        with pytest.raises(UserError, match="target"):
            deploy_model(str(fake_model("a")), *judged("a"), target)
    assert not root.exists()


def test_without_a_serving_interpreter_it_says_which_variable_is_missing(root, fake_model, judged, monkeypatch):
    for value in ("", "/no/such/python"):
        monkeypatch.setenv("MAINSPRING_SERVING_PYTHON", value)
        with pytest.raises(UserError, match="MAINSPRING_SERVING_PYTHON"):
            deploy_model(str(fake_model("a")), *judged("a"), "local://flights")


@pytest.fixture
def served(root, fake_model, judged):
    """Publishes a model and records it as what a stopped endpoint served."""

    def serve(name: str, baseline: str = "") -> str:
        version = publish.publish(
            fake_model(name),
            *map(endpoint_state.Path, judged(name)),
            root=root / "models",
            name="flights",
            baseline=baseline,
        )
        uri = models_root.version_uri(root / "models", version.name, version.version)
        gone = Process(1, "another life")
        endpoint_state.write(State("flights", 20001, version.version, uri, "2026-01-01T00:00:00+00:00", gone))
        return uri

    return serve


def test_a_target_that_serves_nothing_has_no_champion(root):
    assert resolve_champion("local://flights", "sha256:x") == ("", "", 0, "")


def test_a_stopped_endpoints_last_version_is_the_champion_and_the_baseline(served):
    uri = served("a")
    assert resolve_champion("local://flights", "sha256:examples-of-july") == (uri, uri, 1, "")


def test_a_repeated_run_gets_the_baseline_of_the_first(served):
    first = served("a")
    second = served("b", baseline=first)
    assert resolve_champion("local://flights", "sha256:examples-b") == (second, first, 2, "")
    assert resolve_champion("local://flights", "sha256:examples-a") == (second, second, 2, "")


def test_a_repeated_run_starts_warm_where_the_first_one_did(served):
    first = served("a")
    served("b", baseline=first)
    assert resolve_champion("local://flights", "sha256:examples-b", warm_start=True).parent_uri == first
    assert resolve_champion("local://flights", "sha256:of-a-month-later", warm_start=True).version == 2


def test_a_repeated_first_run_has_no_baseline(served):
    uri = served("a")
    assert resolve_champion("local://flights", "sha256:examples-a") == (uri, "", 1, "")


def test_a_champion_whose_folder_is_gone_is_said(served):
    uri = endpoint_state.Path(served("a"))
    uri.rename(uri.with_name("moved"))
    with pytest.raises(UserError, match="is gone"):
        resolve_champion("local://flights", "sha256:x")


def test_after_a_machine_restart_an_endpoint_is_stopped_not_serving(served):
    served("a")
    (endpoint,) = local_target.list_endpoints()
    assert (endpoint.state, endpoint.version, endpoint.pid) == ("stopped", 1, 0)
    json.dumps(dataclasses.asdict(endpoint))


def test_a_stranger_with_the_recorded_number_is_neither_ours_nor_ended(served):
    served("a")
    local_target.stop("flights")  # Process 1 runs, but was not started by us: the test would not survive its end.
    assert local_target.list_endpoints()[0].state == "stopped"


def test_an_endpoint_that_does_not_exist_is_said(root, monkeypatch):
    for act in (local_target.stop, local_target.start):
        with pytest.raises(UserError, match="no such endpoint"):
            act("flights")
    assert not root.exists()


def test_an_unreadable_state_is_said_with_its_file(served):
    served("a")
    file = endpoint_state.folder_of("flights") / "endpoint.json"
    for content in ("{}", "[]", '{"servers": 5}', "no JSON"):
        file.write_text(content)
        with pytest.raises(UserError, match=r"endpoint\.json"):
            resolve_champion("local://flights")
    file.unlink()


def test_a_blessing_against_another_champion_than_the_one_that_serves_is_refused(served, root, fake_model, judged):
    now = served("b")
    first = {"champion": None}
    earlier = {"champion": {"uri": str(root / "models" / "flights" / "9"), "version": 9, "fingerprint": "sha256:z"}}
    for blessing, says in ((first, "as a first model, against no champion"), (earlier, "flights/9")):
        with pytest.raises(UserError, match=says) as caught:
            deploy_model(str(fake_model("a")), *judged("a", **blessing), "local://flights")
        assert f"serves {now} now" in str(caught.value)
    assert not (root / "models" / "flights" / "2").exists()


@pytest.mark.parametrize(
    "champion",
    [
        {"uri": "{now}/", "version": 1, "fingerprint": None},
        {"uri": "elsewhere/1", "version": 1, "fingerprint": "sha256:b"},
        "the model itself",
        "not said",
    ],
)
def test_a_blessing_against_what_serves_or_of_what_serves_stands(served, fake_model, judged, tmp_path, champion):
    now = served("b")
    if isinstance(champion, dict):
        verdict = {"champion": champion | {"uri": champion["uri"].format(now=now)}}
    else:
        verdict = {} if champion == "not said" else {"champion": None}
    model = "b" if champion == "the model itself" else "a"
    evaluation = judged(model, **verdict)[1]
    refuse_blessing_of_another_time("local://flights", f"sha256:{model}", Path(evaluation), now)
