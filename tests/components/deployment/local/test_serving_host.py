"""Deployment through the serving container's process host, as the docker engine has it: no serving interpreter here."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import conftest
import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.deploy_model import deploy_model
from mainspring.components.deployment.local import durations, local_target, processes

TARGET = "local://flights"


@pytest.fixture
def host(monkeypatch):
    """A running host that goes once nothing has run for two seconds."""
    # A Unix socket's path may have 107 characters, and pytest's folders are long.
    folder = Path(tempfile.mkdtemp(prefix="mainspring-"))
    module = "mainspring.components.serving.process_host"
    command = [os.environ["MAINSPRING_SERVING_PYTHON"], "-m", module, "--socket", str(folder / "s"), "--idle", "2"]
    started = subprocess.Popen(command)
    monkeypatch.delenv("MAINSPRING_SERVING_PYTHON")
    monkeypatch.setenv("MAINSPRING_SERVING_SOCKET", str(folder / "s"))
    yield started
    started.terminate()
    started.wait()
    shutil.rmtree(folder)


def test_an_endpoint_is_deployed_rolled_out_and_stopped_and_then_the_host_goes_by_itself(
    root, saved_models, judged, host
):
    first = deploy_model(str(saved_models / "a"), *judged("a"), TARGET)
    second = deploy_model(str(saved_models / "b"), *judged("b"), TARGET, rollout="0,50,100", rollout_seconds=0.5)
    served = local_target.list_endpoints()[0]
    assert (first.version, second.version, served.version, served.state) == (1, 2, 2, "serving")
    assert conftest.parent_of(served.pid) == host.pid
    local_target.stop("flights")
    assert host.wait() == 0


def test_a_failed_deployment_leaves_nothing_running_and_the_reason(root, saved_models, judged, host):
    with pytest.raises(UserError, match="gives no usable prediction"):
        deploy_model(str(saved_models / "unusable"), *judged("unusable"), TARGET)
    assert host.wait() == 0


def test_only_serving_modules_are_started(host, tmp_path):
    with pytest.raises(UserError, match="cannot start os: os: is none of front"):
        processes.start_serving("os", log=tmp_path / "log")


def test_a_host_that_is_gone_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("MAINSPRING_SERVING_SOCKET", str(tmp_path / "nobody"))
    monkeypatch.setattr(durations, "HOST_SECONDS", 0.2)
    with pytest.raises(UserError, match=r"nobody answers at .*; is the serving container there"):
        processes.start_serving("front", log=tmp_path / "log")
