"""A pipeline reaches the cluster once by content, its run is followed, and whatever goes wrong is one line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import mainspring
from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster import Cluster, logins, rest
from mainspring.pipelines.cluster.rest import Unreachable
from tests.pipelines import small_pipelines
from tests.pipelines.cluster.kfp_api import node_id
from tests.pipelines.cluster.kfp_server import Fault, KfpServer, running_server
from tests.pipelines.conftest import MAINSPRING

GIVEN = {"words": "no"}
LINES: list[str] = []


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with running_server() as state:
        yield state


@pytest.fixture
def cluster(server: KfpServer) -> Cluster:
    return mainspring.connect(host=server.url, seconds=5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr("mainspring.pipelines.cluster.runs.FIRST_LOOK", 0.01)


def submit(server: KfpServer, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [MAINSPRING, "submit", "tests.pipelines.small_pipelines:refuses", "-p", "words=no", "--host", server.url]
    environment = {**os.environ, **variables}
    return subprocess.run([*command, *more], capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_the_same_content_is_one_version_and_other_content_another(server: KfpServer, cluster: Cluster) -> None:
    runs = [cluster.submit(small_pipelines.refuses, GIVEN) for _ in range(3)]
    assert len(server.pipelines) == len(server.versions) == 1
    assert len(server.runs) == 3
    assert [run.version.is_new for run in runs if run.version] == [True, False, False]
    changed = cluster.submit(small_pipelines.refuses, GIVEN, caching=False)
    assert changed.version
    assert changed.version.is_new
    assert len(server.versions) == 2


def test_a_version_without_caching_lets_no_task_be_answered_from_the_cache(server: KfpServer, cluster: Cluster) -> None:
    cluster.submit("continuous_training", {"source": "s", "label": "l", "target": "local://x"}, caching=False)
    [version] = server.versions.values()
    assert "enableCache" not in json.dumps(version["pipeline_spec"])


def test_a_pipeline_whose_upload_was_cut_short_gets_its_version_the_next_time(
    server: KfpServer, cluster: Cluster
) -> None:
    server.faults = [Fault("POST", "upload_version", status=500)]
    with pytest.raises(Unreachable, match="safe to try again"):
        cluster.submit(small_pipelines.refuses, GIVEN)
    assert len(server.pipelines) == 1
    assert not server.versions
    assert not server.runs
    cluster.submit(small_pipelines.refuses, GIVEN)
    assert len(server.pipelines) == len(server.versions) == len(server.runs) == 1


def test_two_that_upload_the_same_content_at_once_get_the_same_version(server: KfpServer, cluster: Cluster) -> None:
    # The other one's upload lands after we looked and before ours: ours is answered by 409.
    server.faults = [Fault("POST", "upload_version", status=409, is_after=True)]
    run = cluster.submit(small_pipelines.refuses, GIVEN)
    [version] = server.versions.values()
    assert run.version
    assert run.version.version_id == version["pipeline_version_id"]


def test_a_run_carries_what_was_asked_for(server: KfpServer, cluster: Cluster) -> None:
    cluster.submit(
        small_pipelines.refuses,
        GIVEN,
        experiment="flights",
        name="by hand",
        service_account="trainer",
        pipeline_root="gs://bucket/runs",
    )
    [run] = server.runs.values()
    [experiment] = server.experiments.values()
    assert experiment["display_name"] == "flights"
    assert run["experiment_id"] == experiment["experiment_id"]
    assert (run["display_name"], run["service_account"]) == ("by hand", "trainer")
    assert run["runtime_config"] == {"parameters": GIVEN, "pipeline_root": "gs://bucket/runs"}


def test_a_wrong_parameter_is_found_before_the_server_is_asked(server: KfpServer) -> None:
    done = submit(server, "-p", "wrods=no")
    assert done.returncode == 1
    assert "did you mean words?" in done.stderr
    assert not server.requests


def test_the_command_follows_a_run_to_its_end_and_says_where_it_is(server: KfpServer) -> None:
    server.steps = [
        {"state": "RUNNING", "tasks": {"refuse": "RUNNING", "double": "PENDING"}},
        {"state": "SUCCEEDED", "tasks": {"refuse": "SUCCEEDED", "double": "SUCCEEDED"}},
    ]
    done = submit(server, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["state"] == "SUCCEEDED"
    assert said["tasks"] == [{"name": "refuse", "state": "SUCCEEDED"}, {"name": "double", "state": "SUCCEEDED"}]
    assert said["url"] == f"{server.url}/#/runs/details/{said['run_id']}"
    assert "refuse running" in done.stderr
    assert "driver" not in done.stderr
    assert "executor" not in done.stderr


def test_a_failed_run_ends_with_the_failed_tasks_log_and_its_reason(server: KfpServer) -> None:
    server.steps = [{"state": "FAILED", "tasks": {"double": "SUCCEEDED", "refuse": "FAILED"}}]
    server.logs[node_id("refuse")] = "first line\nmainspring: error: words: are no good\n"
    done = submit(server, "--wait")
    assert done.returncode == 1
    assert "  first line" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert re.match(r"mainspring: error: the run \S+ failed at refuse: words: are no good; see http", last)


def test_a_failed_run_whose_pods_are_gone_says_so(server: KfpServer, cluster: Cluster) -> None:
    server.steps = [{"state": "FAILED", "tasks": {"refuse": "FAILED"}}]
    with pytest.raises(UserError, match="failed at refuse: its log is no longer there"):
        cluster.submit(small_pipelines.refuses, GIVEN).wait(say=LINES.append)


def test_a_cancelled_run_is_no_success_and_is_not_waited_for_for_ever(server: KfpServer, cluster: Cluster) -> None:
    server.steps = [{"state": "RUNNING"}]
    run = cluster.submit(small_pipelines.refuses, GIVEN)
    run.cancel()
    with pytest.raises(UserError, match="was cancelled"):
        run.wait(seconds=20, say=LINES.append)


def test_a_run_is_followed_by_the_titles_of_its_tasks_each_state_once(server: KfpServer, cluster: Cluster) -> None:
    running = {"state": "RUNNING", "tasks": {"resolve-inputs": "SUCCEEDED", "train-model": "RUNNING"}}
    server.steps = [running, running, {"state": "FAILED", "tasks": running["tasks"] | {"train-model": "FAILED"}}]
    server.logs[node_id("train-model")] = "epoch 1\nmainspring: error: label: is constant\nF1122 launcher.go failed\n"
    run = cluster.submit(
        "continuous_training", {"source": "s", "label": "l", "target": "kserve://t/m", "models_root": "gs://b/models"}
    )
    said: list[str] = []
    with pytest.raises(UserError, match=r"failed at Train model: label: is constant; see http"):
        run.wait(say=said.append)
    assert said[:3] == [
        "Find the data and the champion succeeded in 60 s",
        "Train model running",
        "Train model failed in 59 s",
    ]
    assert said[3] == "the last lines of Train model's log:"


def test_a_server_that_is_away_for_a_while_does_not_end_the_following(server: KfpServer, cluster: Cluster) -> None:
    server.steps = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]
    run = cluster.submit(small_pipelines.refuses, GIVEN)
    server.faults = [Fault("GET", "runs/", status=503, times=6)]
    said: list[str] = []
    assert run.wait(say=said.append).is_success
    assert any("waiting for the server" in line for line in said)


def test_a_run_that_takes_too_long_is_left_alone(server: KfpServer, cluster: Cluster) -> None:
    server.steps = [{"state": "RUNNING"}]
    with pytest.raises(UserError, match=r"has not ended within 0\.2 s; it goes on"):
        cluster.submit(small_pipelines.refuses, GIVEN).wait(seconds=0.2, say=LINES.append)
    assert not server.sent("POST", "terminate")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            Fault("POST", "runs$", 401, 9),
            r"does not know who asks \(401: made to fail\), and no login was given; give a",
        ),
        (Fault("POST", "runs$", 403, 9), r"does not allow POST /apis/v2beta1/runs \(403: made to fail\); ask for"),
        (Fault("POST", "runs$", 429, 9), "has too much to do .* nothing was done"),
        (Fault("POST", "runs$", 500, 9), r"fails at POST /apis/v2beta1/runs \(500: made to fail\); it is safe"),
        (Fault("POST", "runs$", 0, 9), "cannot be reached .*whether it was done is not known"),
        (
            Fault("GET", "healthz", 200, 9, {"Content-Type": "text/html"}, "<html>"),
            "a page for people, perhaps a login",
        ),
        (
            Fault("GET", "healthz", 302, 9, {"Location": "/dex/auth?x=1"}),
            "to /dex/auth: it wants a login, and no login",
        ),
        (Fault("GET", "healthz", 404, 9), "has no Kubeflow Pipelines API v2beta1"),
        (Fault("GET", "healthz", 200, 9, {}, "not json"), "which is no JSON"),
    ],
)
def test_what_the_server_refuses_is_one_line_and_starts_no_run(server: KfpServer, fault: Fault, words: str) -> None:
    server.faults = [fault]
    done = submit(server)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert re.search(words, line), line
    assert not server.runs


def test_a_busy_server_is_asked_again_and_a_run_is_started_once(server: KfpServer, cluster: Cluster) -> None:
    server.faults = [Fault("POST", "runs$", 429, 2, {"Retry-After": "0.01"}), Fault("GET", "pipelines", 503, 2)]
    cluster.submit(small_pipelines.refuses, GIVEN)
    assert len(server.runs) == 1


def test_a_run_whose_answer_was_lost_is_not_started_twice(server: KfpServer, cluster: Cluster) -> None:
    server.faults = [Fault("POST", "runs$", 0, is_after=True)]
    with pytest.raises(Unreachable, match="whether it was done is not known"):
        cluster.submit(small_pipelines.refuses, GIVEN)
    assert len(server.runs) == 1


def test_a_server_that_never_answers_is_given_up_in_time(server: KfpServer) -> None:
    may_answer = threading.Event()
    server.faults = [Fault("GET", "healthz", after=may_answer)]
    with pytest.raises(Unreachable, match=r"no answer to GET /apis/v2beta1/healthz within 0\.5 s"):
        mainspring.connect(server.url, seconds=0.5)
    may_answer.set()


def test_a_server_that_is_down_is_one_line() -> None:
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9: cannot be reached \(connection refused\)"):
        mainspring.connect("http://127.0.0.1:9", seconds=1)


def test_a_server_with_several_users_wants_a_namespace_and_gets_it_with_every_request(server: KfpServer) -> None:
    server.is_multi_user = True
    with pytest.raises(UserError, match="needs a namespace"):
        mainspring.connect(server.url)
    mainspring.connect(server.url, namespace="team").submit(small_pipelines.refuses, GIVEN)
    [pipeline], [experiment] = server.pipelines.values(), server.experiments.values()
    assert pipeline["namespace"] == experiment["namespace"] == "team"


def test_a_token_is_sent_and_a_wrong_one_is_told(server: KfpServer) -> None:
    server.is_allowed = lambda headers: headers.get("Authorization") == "Bearer good"
    assert submit(server, MAINSPRING_TOKEN="good").returncode == 0
    wrong = submit(server, MAINSPRING_TOKEN="bad")
    assert "the token that was given is wrong, expired" in wrong.stderr
    assert "bad" not in wrong.stderr


def test_a_token_file_is_read_again_for_every_request(
    server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    monkeypatch.setenv(logins.TOKEN_PATH_VARIABLE, str(token))
    token.write_text("first")
    server.is_allowed = lambda headers: headers.get("Authorization") == f"Bearer {token.read_text()}"
    cluster = mainspring.connect(server.url)
    token.write_text("second")
    cluster.submit(small_pipelines.refuses, GIVEN)
    assert len(server.runs) == 1


def test_dex_is_logged_into_and_again_when_the_session_has_expired(server: KfpServer) -> None:
    server.dex_users, server.login_page = {"ann@example.com": "secret"}, "/dex/auth?client_id=kubeflow"
    server.is_allowed = lambda headers: "authservice_session=ann@example.com" in headers.get("Cookie", "")
    cluster = mainspring.connect(server.url, username="ann@example.com", password="secret")
    server.faults = [Fault("GET", "pipelines", status=401)]
    cluster.submit(small_pipelines.refuses, GIVEN)
    assert len(server.runs) == 1
    assert len(server.sent("POST", "/dex/")) == 2
    with pytest.raises(UserError, match=r"Dex refuses user 'ann@example.com'"):
        mainspring.connect(server.url, username="ann@example.com", password="wrong")


def test_a_cookie_is_sent_as_it_is(server: KfpServer) -> None:
    server.is_allowed = lambda headers: headers.get("Cookie") == "authservice_session=abc"
    assert mainspring.connect(server.url, cookie="authservice_session=abc").namespace == ""
    with pytest.raises(UserError, match="is no name=value"):
        mainspring.connect(server.url, cookie="abc")


def test_iap_gets_a_token_for_its_client_id_with_a_service_accounts_key(
    server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(_service_account_key(f"{server.url}/apis/v2beta1/experiments")))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    # The route above stands for Google's token endpoint: the fault's body is its answer.
    token = _unsigned_token()
    server.faults = [Fault("POST", "experiments", 200, 1, body=json.dumps({"id_token": token}))]
    server.is_allowed = lambda headers: headers.get("Authorization") == f"Bearer {token}"
    mainspring.connect(server.url, iap_client_id="client.apps.example.com")
    [asked] = server.sent("POST", "experiments")
    claims = asked["body"]["assertion"].split(".")[1]
    assert _decoded(claims)["target_audience"] == "client.apps.example.com"


def _service_account_key(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"type": "service_account", "client_email": "ci@example.com", "private_key_id": "1", "project_id": "p"}
    return account | {"private_key": private.decode(), "token_uri": token_uri}


def _unsigned_token() -> str:
    import base64

    parts = ({"alg": "RS256"}, {"exp": int(time.time()) + 3600, "aud": "client.apps.example.com"})
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts), "AA"])


def _decoded(part: str) -> dict[str, str]:
    import base64

    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_nothing_given_and_nothing_around_is_one_line_with_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("KF_PIPELINES_ENDPOINT", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError, match=r"host: is not given; give the address .* port-forward"):
        mainspring.connect()
