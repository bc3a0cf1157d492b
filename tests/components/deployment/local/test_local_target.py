"""Real model servers behind a real front: the story of an endpoint, and what happens when things are killed."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import conftest
import pytest
from until import until

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import resolve_champion
from mainspring.components.deployment.deploy_model import deploy_model
from mainspring.components.deployment.local import endpoint_state, local_target, loopback, model_servers, processes
from mainspring.components.deployment.versions import models_root

ROW = {"distance": 100.0, "carrier": "AA"}
PREDICTIONS = {"a": 0.8808, "b": 0.9820, "c": 0.5}
"""sigmoid(distance / 100 + shift + 1) of `ROW` by model."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One local root for the whole story, so that each model server is started once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSPRING_ROOT", str(tmp_path_factory.mktemp("root")))
        yield Path(os.environ["MAINSPRING_ROOT"])
        conftest.end_all()


def ask(endpoint: str, row=ROW):
    port = int(endpoint.split(":")[2].split("/")[0])
    return loopback.call(port, "POST", "/" + endpoint.split("/", 3)[3], {"instances": [row]})


def prediction(endpoint: str) -> float:
    answer = ask(endpoint)
    assert answer.status == 200, answer
    return answer.content["predictions"][0]["prediction"]


def servers_of(root: Path) -> list[int]:
    """The process numbers of everything of the serving package that was started with this root."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"mainspring.components.serving" in command and f"MAINSPRING_ROOT={root}".encode() in environment:
            found.append(int(folder.name))
    return found


@pytest.fixture
def deployed_a(root, saved_models, judged):
    """An endpoint whose champion is model `a`: deployed once, and again after a test that changed it."""
    return deploy_model(str(saved_models / "a"), *judged("a"), "local://flights")


@pytest.fixture
def champion(root, saved_models, judged):
    """The endpoint as the test before left it, if it serves; otherwise with model `b`."""
    serving = [endpoint for endpoint in local_target.list_endpoints() if endpoint.state == "serving"]
    if not serving:
        deploy_model(str(saved_models / "b"), *judged("b"), "local://flights")
    return next(endpoint for endpoint in local_target.list_endpoints() if endpoint.name == "flights")


def test_the_first_version_answers_v1_and_v2(deployed_a):
    assert deployed_a.endpoint.startswith("http://127.0.0.1:")
    assert prediction(deployed_a.endpoint) == pytest.approx(PREDICTIONS["a"], abs=1e-4)
    (endpoint,) = local_target.list_endpoints()
    assert (endpoint.state, endpoint.version, endpoint.url) == ("serving", deployed_a.version, deployed_a.endpoint)
    answer = loopback.call(endpoint.port, "GET", "/v2/models/flights/ready")
    assert (answer.status, answer.headers["x-mainspring-version"]) == (200, str(deployed_a.version))
    assert ask(deployed_a.endpoint, {"distance": "far"}).status == 400


def test_the_same_model_again_is_neither_published_nor_loaded_again(root, deployed_a, saved_models, judged):
    before = servers_of(root)
    assert deploy_model(str(saved_models / "a"), *judged("a"), "local://flights") == deployed_a
    assert servers_of(root) == before
    assert len(models_root.versions(root / "models", "flights")) == deployed_a.version


def test_a_new_version_takes_over_under_load_without_a_failed_request_on_the_same_port(
    root, deployed_a, saved_models, judged
):
    port = local_target.list_endpoints()[0].port
    statuses, values, done = [], [], threading.Event()

    def load() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        body = json.dumps({"instances": [ROW]})
        while not done.is_set():
            connection.request("POST", "/v1/models/flights:predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = json.loads(response.read())
            statuses.append(response.status)
            values.append(round(content["predictions"][0]["prediction"], 4) if response.status == 200 else content)
            time.sleep(0.002)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        deployed = deploy_model(
            str(saved_models / "b"), *judged("b"), "local://flights", baseline_uri=deployed_a.version_uri
        )
        until(lambda: PREDICTIONS["b"] in values[-20:-10] or not thread.is_alive())
    finally:
        done.set()
        thread.join()
    assert set(statuses) == {200}
    assert values == sorted(values), "once the new version has answered, the old one must not answer any more"
    assert (values[0], values[-1]) == (PREDICTIONS["a"], PREDICTIONS["b"])
    assert deployed.endpoint == deployed_a.endpoint
    assert deployed.version == deployed_a.version + 1
    assert len(servers_of(root)) == 2, "a front and one model server; the old one is gone"
    assert models_root.versions(root / "models", "flights")[0].replaces == deployed_a.version
    assert resolve_champion.resolve_champion("local://flights", "sha256:examples-b") == (
        deployed.version_uri,
        deployed_a.version_uri,
        deployed.version,
        "",
    )


@pytest.mark.parametrize("damage", ["variables", "prediction"])
def test_a_version_that_cannot_be_served_leaves_the_champion(root, saved_models, judged, tmp_path, damage, champion):
    before, predicted = servers_of(root), prediction(champion.url)
    if damage == "variables":
        model, name = tmp_path / "broken", "c"
        shutil.copytree(saved_models / "c", model)
        (model / "variables" / "variables.index").write_bytes(b"no index")
    else:
        model, name = saved_models / "unusable", "unusable"
    with pytest.raises(UserError) as error:
        deploy_model(str(model), *judged(name), "local://flights")
    assert ("cannot be loaded" if damage == "variables" else "no usable prediction") in str(error.value)
    assert local_target.list_endpoints() == [champion]
    assert prediction(champion.url) == predicted
    assert servers_of(root) == before
    assert models_root.versions(root / "models", "flights")[0].version > champion.version, "it stays published"


def test_a_first_version_that_cannot_be_served_leaves_no_endpoint_and_no_process(root, saved_models, judged):
    before = servers_of(root)
    with pytest.raises(UserError, match="no usable prediction"):
        deploy_model(str(saved_models / "unusable"), *judged("unusable"), "local://hopeless")
    assert servers_of(root) == before
    assert "hopeless" not in [endpoint.name for endpoint in local_target.list_endpoints()]
    assert resolve_champion.resolve_champion("local://hopeless") == ("", "", 0, "")


def test_stop_and_start_bring_the_same_version_back_on_the_same_port(root, champion):
    before, predicted = champion, prediction(champion.url)
    stopped = local_target.stop("flights")
    assert (stopped.state, stopped.version, stopped.port, stopped.pid) == ("stopped", before.version, before.port, 0)
    assert servers_of(root) == []
    assert local_target.stop("flights").state == "stopped"
    assert resolve_champion.resolve_champion("local://flights").version == before.version
    with conftest.taken(before.port), pytest.raises(UserError, match=f"port {before.port} is in use"):
        local_target.start("flights")
    assert servers_of(root) == []
    started = local_target.start("flights")
    assert (started.state, started.version, started.url) == ("serving", before.version, before.url)
    assert started.since == before.since
    assert prediction(started.url) == predicted


def test_a_killed_front_is_replaced_before_the_same_model_server(root, champion):
    state, predicted = endpoint_state.read("flights"), prediction(champion.url)
    kill(state.front)
    (failed,) = local_target.list_endpoints()
    assert failed.state == "failed"
    assert str(state.port) in failed.problem
    assert local_target.start("flights").state == "serving"
    assert endpoint_state.read("flights").servers == state.servers
    assert prediction(state.url) == predicted


def test_a_killed_model_server_is_shown_as_failed_and_a_deployment_repairs_it(root, saved_models, judged, champion):
    state = endpoint_state.read("flights")
    kill(state.servers[0].process)
    (failed,) = local_target.list_endpoints()
    assert (failed.state, failed.version) == ("failed", state.version)
    answer = ask(state.url)
    assert answer.status == 503
    assert f"version {state.version}" in answer.content["error"]
    deployed = deploy_model(str(saved_models / "a"), *judged("a"), "local://flights")
    assert prediction(deployed.endpoint) == pytest.approx(PREDICTIONS["a"], abs=1e-4)
    assert deployed.endpoint == state.url


def test_two_deployments_at_once_follow_each_other_and_keep_no_pipe_open(root, saved_models, judged):
    code = (
        "import sys; from mainspring.components.deployment.deploy_model import deploy_model\n"
        "print(deploy_model(*sys.argv[1:], 'local://pair').endpoint)"
    )
    commands = [[sys.executable, "-c", code, str(saved_models / name), *judged(name)] for name in "ac"]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in commands
    ]
    endpoints = []
    for process in started:
        said = process.stdout.read()  # Ends only when nobody holds the pipe any more, servers included.
        assert process.wait() == 0, said
        endpoints.append(said.splitlines()[-1])
    assert endpoints[0] == endpoints[1]
    state = endpoint_state.read("pair")
    assert [version.version for version in models_root.versions(root / "models", "pair")] == [2, 1]
    assert len(state.servers) == 1
    assert round(prediction(state.url), 4) in (PREDICTIONS["a"], PREDICTIONS["c"])
    local_target.stop("pair")


def test_a_deployment_that_is_killed_leaves_no_process_and_the_next_one_works(root, saved_models, judged):
    before = servers_of(root)
    code = (
        "import sys; from mainspring.components.deployment.deploy_model import deploy_model\n"
        "deploy_model(*sys.argv[1:], 'local://killed')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(saved_models / "a"), *judged("a")], stdout=subprocess.DEVNULL
    )
    until(lambda: len(servers_of(root)) == len(before) + 2)
    process.kill()
    process.wait()
    until(lambda: servers_of(root) == before)
    assert "killed" not in [endpoint.name for endpoint in local_target.list_endpoints()]


def test_a_preloaded_server_gets_the_order_and_an_unused_one_ends_with_its_caller(root, saved_models, judged):
    model_servers.preload()
    model_servers.preload()
    waiting = model_servers._preloaded[0].process
    assert len(model_servers._preloaded) == 1
    deployed = deploy_model(str(saved_models / "c"), *judged("c"), "local://flights")
    assert endpoint_state.read("flights").servers[0].process == waiting
    assert prediction(deployed.endpoint) == pytest.approx(PREDICTIONS["c"], abs=1e-4)
    before = servers_of(root)
    code = "import signal; from mainspring.components.deployment import deploy_model as d; d.preload(); signal.pause()"
    caller = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: len(servers_of(root)) > len(before))
    caller.kill()
    caller.wait()
    until(lambda: servers_of(root) == before)


def kill(process: processes.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not processes.alive(process))
