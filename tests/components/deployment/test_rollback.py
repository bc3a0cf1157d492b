"""Rollbacks between real model servers: no failed request, and nothing that puts the withdrawn version back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from traffic import PREDICTIONS, Traffic, prediction

from mainspring.components.common import published
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.deploy_model import deploy_model
from mainspring.components.deployment.local import endpoint_state
from mainspring.components.deployment.resolve_champion import resolve_champion
from mainspring.components.deployment.rollback_model import rollback_model
from mainspring.components.deployment.versions import models_root

pytestmark = pytest.mark.usefixtures("warm_serving")
TARGET = "local://flights"


def test_a_rollback_serves_the_version_before_without_a_failed_request_and_it_lasts(root, saved_models, judged):
    first = deploy_model(str(saved_models / "a"), *judged("a"), TARGET)
    second = deploy_model(str(saved_models / "b"), *judged("b"), TARGET)
    before = endpoint_state.read("flights")

    with Traffic(second.endpoint) as traffic:
        back = rollback_model(TARGET, reason="late")
    assert traffic.failed == []
    assert len(traffic.values) > 50
    assert traffic.values == sorted(traffic.values, reverse=True), "once rolled back, the new version is silent"
    assert (traffic.values[0], traffic.values[-1]) == (PREDICTIONS["b"], PREDICTIONS["a"])
    assert back == (first.version, first.version_uri, first.endpoint, second.version)
    assert resolve_champion(TARGET).version == first.version

    again = rollback_model(TARGET, replacing=second.version)
    assert again == back, "a step that is retried goes back no further"
    with pytest.raises(UserError, match="version 9, which is to go, was never served"):
        rollback_model(TARGET, replacing=9)

    with pytest.raises(UserError, match="which was rolled back"):
        deploy_model(str(saved_models / "b"), *judged("b"), TARGET)
    assert prediction(first.endpoint) == pytest.approx(PREDICTIONS["a"], abs=1e-4)
    assert deploy_model(str(saved_models / "a"), *judged("a"), TARGET) == first, "the champion's own run goes on"
    assert len(models_root.versions(root / "models", "flights")) == 2

    # As if the rollback had been killed after the switch, before it was written down.
    after = endpoint_state.read("flights")
    cut_short = replace(before, front=after.front, servers=after.servers, withdrawn=after.withdrawn)
    endpoint_state.write(cut_short)
    assert resolve_champion(TARGET).version == first.version
    with pytest.raises(UserError, match="which was rolled back"):
        deploy_model(str(saved_models / "b"), *judged("b"), TARGET)

    # A version that cannot be loaded any more leaves what is served, and what is withdrawn, as they are.
    graph = published.saved_model(Path(second.version_uri)) / "saved_model.pb"
    shutil.move(graph, graph.with_suffix(".aside"))
    graph.write_bytes(b"no graph")
    with pytest.raises(UserError, match="cannot be loaded"):
        rollback_model(TARGET, version=2)
    assert prediction(first.endpoint) == pytest.approx(PREDICTIONS["a"], abs=1e-4)
    assert [gone.version for gone in endpoint_state.read("flights").withdrawn] == [2]
    shutil.move(graph.with_suffix(".aside"), graph)

    assert rollback_model(TARGET, version=2).version == 2, "named, a withdrawn version is served again"
    assert prediction(first.endpoint) == pytest.approx(PREDICTIONS["b"], abs=1e-4)
    assert endpoint_state.read("flights").withdrawn == ()
    assert deploy_model(str(saved_models / "b"), *judged("b"), TARGET).version == 2
