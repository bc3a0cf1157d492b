"""Which version a rollback leads to, and which models are refused afterwards: pure logic, no server."""

from __future__ import annotations

import json
import shutil

import pytest

from mainspring.components.common import manifests
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.deployment.deploy_model import deploy_model
from mainspring.components.deployment.local import endpoint_state, local_target
from mainspring.components.deployment.local.endpoint_state import State
from mainspring.components.deployment.versions import models_root, publish, takeovers
from mainspring.components.deployment.versions.takeovers import Takeover


def history(*versions: int) -> tuple[Takeover, ...]:
    return tuple(Takeover(version, f"/models/flights/{version}", "") for version in versions)


def rolled_back(versions, withdrawn=(), to=0):
    """Follows rollbacks: the history and the withdrawn versions after one more."""
    chosen = takeovers.destination("local://flights", history(*versions), withdrawn, to)
    gone = takeovers.passed_over(history(*versions), tuple(withdrawn), chosen, "late")
    return [*versions, chosen.version], gone


def numbers(withdrawn):
    return [withdrawal.version for withdrawal in withdrawn]


def test_a_rollback_leads_to_the_version_served_before_and_a_second_one_further_back():
    versions, gone = rolled_back([1, 2, 3])
    assert (versions[-1], numbers(gone)) == (2, [3])
    versions, gone = rolled_back(versions, gone)
    assert (versions[-1], numbers(gone)) == (1, [3, 2])
    with pytest.raises(UserError, match="no version before 1 that could take over"):
        rolled_back(versions, gone)


def test_a_rollback_skips_what_was_withdrawn_before():
    versions, gone = rolled_back([1, 2])
    versions, gone = rolled_back([*versions, 3], gone)
    assert (versions[-1], numbers(gone)) == (1, [2, 3])


def test_going_back_past_a_version_withdraws_it_too_and_naming_it_lifts_only_that():
    versions, gone = rolled_back([1, 2, 3], to=1)
    assert (versions[-1], numbers(gone)) == (1, [2, 3])
    versions, gone = rolled_back(versions, gone, to=2)
    assert (versions[-1], numbers(gone)) == (2, [3])


def test_a_version_that_was_never_served_is_refused_with_those_that_were():
    with pytest.raises(UserError, match="version 7 was never served there; a rollback can go to one of: 1, 2"):
        rolled_back([1, 2], to=7)


@pytest.fixture
def withdrawn_b(root, fake_model, judged):
    """An endpoint that went back from model `b` (version 2) to `a` (version 1)."""
    uris = []
    for name in "ab":
        folders = map(endpoint_state.Path, judged(name))
        version = publish.publish(fake_model(name), *folders, root=root / "models", name="flights")
        uris.append(models_root.version_uri(root / "models", version.name, version.version))
    gone = takeovers.withdrawal_of(2, uris[1], "too many false alarms")
    state = State("flights", 20001, 1, uris[0], "2026-01-01T00:00:00+00:00", withdrawn=(gone,))
    return endpoint_state.write(state)


def test_a_rolled_back_model_is_refused_with_the_reason_and_the_way_to_insist(withdrawn_b, fake_model, judged, root):
    with pytest.raises(UserError) as error:
        deploy_model(str(fake_model("b")), *judged("b"), "local://flights")
    for words in ("is version 2, which was rolled back", "too many false alarms", "local://flights --to 2"):
        assert words in str(error.value)
    assert endpoint_state.read("flights") == withdrawn_b
    assert len(models_root.versions(root / "models", "flights")) == 2


def test_a_second_rollback_never_leads_to_a_model_that_was_withdrawn_under_another_number(root, fake_model, judged):
    def published(name: str, number: int) -> str:
        folder = root / "models" / "flights" / str(number)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(fake_model(name), folder)
        return str(folder)

    uris = {number: published(name, number) for number, name in ((1, "a"), (3, "c"), (5, "a"))}
    served = tuple(Takeover(number, uri, "") for number, uri in uris.items())
    first = takeovers.destination("local://flights", served, (), 0)
    gone = takeovers.passed_over(served, (), first, "it lies")
    assert (first.version, numbers(gone)) == (3, [5])
    now = takeovers.appended(served, 3, uris[3], "")
    with pytest.raises(UserError, match=r"version 1 held the very model that was withdrawn .* with --to 1"):
        takeovers.destination("local://flights", now, gone, 0)
    insisted = takeovers.destination("local://flights", now, gone, 1)
    after = takeovers.passed_over(now, gone, insisted, "c was worse")
    assert numbers(after) == [3], "a model is never served and withdrawn at the same time"
    manifest = manifests.read(ModelManifest, fake_model("a") / manifests.MODEL_MANIFEST)
    takeovers.refuse_withdrawn("local://flights", manifest, gone, uris[1])


def test_the_same_training_again_is_refused_even_if_its_bytes_differ(withdrawn_b, fake_model, judged, root):
    again = fake_model("b", fingerprint="sha256:b-again")
    with pytest.raises(UserError, match="was trained from the same data and settings as version 2"):
        deploy_model(str(again), *judged("b", model_fingerprint="sha256:b-again"), "local://flights")
    assert len(models_root.versions(root / "models", "flights")) == 2


@pytest.mark.parametrize("change", [{"seed": 2}, {"examples_fingerprint": "new"}, {"hyperparameters": {"module": "m"}}])
def test_another_seed_other_data_or_a_module_of_ones_own_make_another_model(withdrawn_b, fake_model, change):
    folder = fake_model("b", fingerprint="sha256:b-again", **change)
    manifest = manifests.read(ModelManifest, folder / manifests.MODEL_MANIFEST)
    takeovers.refuse_withdrawn("local://flights", manifest, withdrawn_b.withdrawn, withdrawn_b.uri)


def test_a_model_that_still_serves_is_not_refused_because_a_rollback_was_cut_short(withdrawn_b, fake_model):
    manifest = manifests.read(ModelManifest, fake_model("b") / manifests.MODEL_MANIFEST)
    takeovers.refuse_withdrawn("local://flights", manifest, withdrawn_b.withdrawn, withdrawn_b.withdrawn[0].uri)


def test_the_served_model_is_not_published_again_after_a_rollback(withdrawn_b, fake_model, judged, root):
    folders = map(endpoint_state.Path, judged("a"))
    again = publish.publish(fake_model("a"), *folders, root=root / "models", name="flights", replaces=1)
    assert again.version == 1
    assert len(models_root.versions(root / "models", "flights")) == 2


def test_a_state_written_before_there_were_rollbacks_is_read(withdrawn_b):
    file = endpoint_state.folder_of("flights") / "endpoint.json"
    content = json.loads(file.read_text())
    del content["history"], content["withdrawn"]
    file.write_text(json.dumps(content))
    assert local_target.champion("flights") == (1, withdrawn_b.uri)
    assert local_target.withdrawn("flights") == ()


def test_a_rollback_of_what_does_not_exist_is_one_line(root, withdrawn_b):
    with pytest.raises(UserError, match="no such endpoint"):
        local_target.rollback("nothing")
    with pytest.raises(UserError, match="served no version before 1"):
        local_target.rollback("flights")
