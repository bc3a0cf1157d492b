"""The test server answers KFP's own client, and what we send is what that client sends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp.client import Client

import mainspring
from mainspring.pipelines.cluster import uploads
from tests.pipelines import small_pipelines
from tests.pipelines.cluster.kfp_server import KfpServer, running_server

IDENTITY = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}")


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with running_server() as state:
        yield state


@pytest.fixture
def client(server: KfpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    return Client(host=server.url)


def told(server: KfpServer, method: str, path: str) -> set[tuple[str, ...]]:
    """Returns each request's shape: its path without ids, its query's keys, its body's keys all the way down."""
    return {
        (IDENTITY.sub("*", asked["path"]), *sorted(asked["query"]), *sorted(_keys(asked["body"])))
        for asked in server.sent(method, path)
    }


def _keys(body: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(body, dict):
        for key, value in body.items():
            if value not in (None, ""):
                yield f"{prefix}{key}"
                if key not in ("parameters", "uploadfile", "pipeline_spec"):
                    yield from _keys(value, f"{prefix}{key}.")


def test_kfps_own_client_works_with_the_server(server: KfpServer, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(uploads.prepare(small_pipelines.refuses).text)
    pipeline = client.upload_pipeline(str(path), pipeline_name="refuses")
    version = client.upload_pipeline_version(str(path), "second", pipeline_name="refuses")
    assert client.get_pipeline_id("refuses") == pipeline.pipeline_id == version.pipeline_id
    assert client.list_pipeline_versions(pipeline.pipeline_id).total_size == 2
    server.steps = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]
    run = client.create_run_from_pipeline_package(str(path), arguments={"words": "no"}, experiment_name="first")
    assert client.wait_for_run_completion(run.run_id, timeout=30, sleep_duration=0).state == "SUCCEEDED"
    experiment = client.get_experiment(experiment_name="first")
    made = client.create_recurring_run(
        experiment.experiment_id, "nightly", cron_expression="0 0 3 * * *", pipeline_package_path=str(path)
    )
    client.disable_recurring_run(made.recurring_run_id)
    assert client.get_recurring_run(made.recurring_run_id).status == "DISABLED"
    assert [item.display_name for item in client.list_recurring_runs().recurring_runs] == ["nightly"]
    client.delete_recurring_run(made.recurring_run_id)
    assert client.list_recurring_runs().recurring_runs is None


def test_what_submitting_sends_is_what_kfps_client_sends(server: KfpServer, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(uploads.prepare(small_pipelines.refuses).text)
    made = client.upload_pipeline(str(path), pipeline_name="theirs")
    version = client.upload_pipeline_version(str(path), "v", pipeline_id=made.pipeline_id, description="d")
    experiment = client.create_experiment("theirs")
    arguments = (experiment.experiment_id, "run", None, {"words": "no"}, made.pipeline_id, version.pipeline_version_id)
    client.run_pipeline(*arguments)
    theirs = {path: told(server, "POST", path) for path in ("runs$", "upload_version$", "experiments$")}
    server.requests.clear()
    mainspring.connect(server.url).submit(small_pipelines.refuses, {"words": "no"}, experiment="ours")
    ours = {path: told(server, "POST", path) for path in ("runs$", "upload_version$", "experiments$")}
    assert ours == theirs


def test_what_scheduling_sends_is_what_kfps_client_sends(server: KfpServer, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(uploads.prepare(small_pipelines.refuses).text)
    made = client.upload_pipeline(str(path), pipeline_name="theirs")
    version = client.upload_pipeline_version(str(path), "v", pipeline_id=made.pipeline_id)
    experiment = client.create_experiment("theirs")
    theirs = client.create_recurring_run(
        experiment.experiment_id,
        "theirs",
        "description",
        cron_expression="0 0 3 * * *",
        no_catchup=True,
        params={"words": "no"},
        pipeline_id=made.pipeline_id,
        version_id=version.pipeline_version_id,
    )
    client.disable_recurring_run(theirs.recurring_run_id)
    client.enable_recurring_run(theirs.recurring_run_id)
    client.delete_recurring_run(theirs.recurring_run_id)
    sent = [told(server, method, "recurringruns") for method in ("POST", "DELETE")]
    server.requests.clear()
    cluster, file = mainspring.connect(server.url), tmp_path / "schedules.yaml"
    for hour in (3, 4):
        schedule = {"name": "ours", "pipeline": str(path), "cron": f"0 {hour} * * *", "parameters": {"words": "no"}}
        file.write_text(yaml.safe_dump({"schedules": [schedule]}))
        cluster.apply(file, say=lambda line: None)
    ours = [told(server, method, "recurringruns") for method in ("POST", "DELETE")]
    assert ours[0] == sent[0]
    # Ours asks to leave the runs alone, besides; KFP's client has no argument for that.
    assert ours[1] == {(*shape, "propagation_policy") for shape in sent[1]}
