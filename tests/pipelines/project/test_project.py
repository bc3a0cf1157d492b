"""`mainspring.yaml`: one file for a team's pipelines, schedules and environments; planned, applied, compiled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.compile import compile_
from mainspring.pipelines.commands.team.plan_apply import CHANGES, apply, plan
from mainspring.pipelines.parameters import typed_arguments
from mainspring.pipelines.project import in_environment, kubernetes_objects, project_file
from tests.pipelines.cluster.kfp_server import running_server

TEXT = """
project: flights
time_zone: Europe/Berlin
pipelines:
  training:
    pipeline: continuous_training
    parameters:
      source: gs://team/raw/{YYYY}/{MM}/{DD}/*.csv
      label: late
      exclude: [no, 1]
      types: {zip: string}
schedules:
  daily:
    pipeline: training
    cron: "0 3 * * *"
    parameters: {scheduled_time: due}
environments:
  dev:
    parameters: {target: local://flights, source: "data/{SPAN}.csv", max_epochs: 1}
  staging:
    host: HOST
    namespace: team-staging
    parameters: {target: kserve://staging/flights, models_root: gs://staging/models}
  prod:
    host: HOST
    registry: registry.example.com/team
    service_account: trainer
    parameters: {target: kserve://prod/flights, models_root: gs://prod/models}
    pipelines:
      training: {parameters: {rollout: "0,10,100"}}
    schedules:
      daily: {cron: "0 4 * * *", max_concurrency: 1, parameters: {min_spans: 3}}
"""


def put(folder: Path, host: str = "http://kfp.example.com", **changed: str) -> Path:
    text = TEXT.replace("HOST", host)
    for before, after in changed.items():
        text = text.replace(before, after)
    path = folder / "mainspring.yaml"
    path.write_text(text)
    return path


def called(command: Any, *arguments: object) -> Any:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_an_environments_values_are_the_pipelines_defaults_and_as_they_are_spelled(tmp_path: Path) -> None:
    done = called(compile_, "-e", "prod", "--project", put(tmp_path), "-o", tmp_path / "build")
    assert done.stdout.split() == [str(tmp_path / "build" / "flights-training.yaml")]
    spec = next(yaml.safe_load_all((tmp_path / "build" / "flights-training.yaml").read_text()))
    assert spec["pipelineInfo"]["name"] == "flights-training"
    defaults = {name: each.get("defaultValue") for name, each in spec["root"]["inputDefinitions"]["parameters"].items()}
    assert (defaults["target"], defaults["models_root"]) == ("kserve://prod/flights", "gs://prod/models")
    assert (defaults["exclude"], defaults["rollout"], defaults["types"]) == (["no", "1"], "0,10,100", {"zip": "string"})
    images = {each["container"]["image"] for each in spec["deploymentSpec"]["executors"].values()}
    assert all(image.startswith("registry.example.com/team/mainspring/") for image in images)


def test_a_pipeline_of_the_project_is_a_name_for_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path)
    monkeypatch.chdir(tmp_path)
    spec = in_environment.load("training@dev").pipeline_spec
    assert typed_arguments(spec, {}) == {}, "nothing more is needed"
    given = spec.root.input_definitions.parameters
    assert given["source"].default_value.string_value == "data/{SPAN}.csv"
    assert given["max_epochs"].default_value.number_value == 1
    with pytest.raises(UserError, match="environment 'de': is not in the file; did you mean dev"):
        in_environment.load("training@de")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("label: late", "lable: late", "continuous-training has no parameter lable; did you mean label?"),
        ("rollout: ", "rolout: ", "has no parameter rolout; did you mean rollout?"),
        ("models_root: gs://prod/models", "label: x", "models_root: is not given"),
        ("kserve://prod/flights", "kserve://prod", "expected local://<name> or kserve://"),
        (
            "parameters: {target: kserve://prod",
            "paramters: {target: kserve://prod",
            "line 25: environment prod: unknown key",
        ),
        ("    pipeline: training\n", "    pipeline: trainin\n", "pipeline 'trainin': is not in the file"),
        ("daily: {cron", "dayly: {cron", "schedule 'dayly': is not in the file; did you mean daily?"),
        ("daily: {cron", "daily: {pipeline: traning, cron", "'traning': is not in the file; did you mean training?"),
        ("max_concurrency: 1", "max_concurrency: 11", "max_concurrency is 11; it must be 1 to 10"),
        ("project: flights", "project: Flights", "use lower-case letters"),
        (
            "parameters: {target: kserve://prod",
            "parameters: {zzz: 1, target: kserve://prod",
            "no pipeline has a parameter zzz",
        ),
    ],
)
def test_a_fault_of_the_file_is_one_line(tmp_path: Path, before: str, after: str, says: str) -> None:
    assert before in TEXT
    path = put(tmp_path, **{before: after})
    with running_server() as server, pytest.raises(UserError) as error:
        called(plan, path, "-e", "prod", "--host", server.url)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_plan_is_applied_once_and_ci_is_told_by_the_exit_status(tmp_path: Path) -> None:
    with running_server() as server:
        path = put(tmp_path, server.url)
        first = called(plan, path, "-e", "prod", "--exit-code")
        assert first.exit_code == CHANGES
        assert "pipeline flights-training: create (content-" in first.stdout
        assert "flights-daily: create" in first.stdout
        assert not server.pipelines, "a plan changes nothing"
        assert called(apply, path, "-e", "prod").exit_code == 0
        [recurring] = server.recurring_runs.values()
        assert recurring["runtime_config"]["parameters"] == {"scheduled_time": "due", "min_spans": 3}
        assert recurring["service_account"] == "trainer"
        assert recurring["trigger"]["cron_schedule"]["cron"].split()[2] in ("2", "3"), "four in Berlin"
        again = called(plan, path, "-e", "prod", "--exit-code")
        assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, "prod: nothing to change")

        put(tmp_path, server.url, **{'"0,10,100"': '"100"', "registry.example.com/team": "registry.example.com/other"})
        changed = json.loads(called(plan, path, "-e", "prod", "--json").stdout)
        [pipeline] = changed["pipelines"]
        told = {each["field"]: (each["cluster"], each["file"]) for each in pipeline["differences"]}
        assert told["parameter rollout"] == ("0,10,100", "100")
        assert told["image train-model"][1].startswith("registry.example.com/other/")
        assert [each["action"] for each in changed["schedules"]] == ["replace"]
        assert called(apply, path, "-e", "prod").exit_code == 0
        assert len(server.versions) == 2
        assert len(server.recurring_runs) == 1


def test_environments_on_one_cluster_do_not_touch_each_other(tmp_path: Path) -> None:
    with running_server() as server:
        path = put(tmp_path, server.url)
        called(apply, path, "-e", "prod")
        other = put(tmp_path, server.url, **{"project: flights": "project: trains"})
        called(apply, other, "-e", "prod", "--prune")
        assert sorted(each["display_name"] for each in server.recurring_runs.values()) == [
            "flights-daily",
            "trains-daily",
        ]
        called(
            apply,
            put(
                tmp_path,
                server.url,
                **{"  daily:\n    pipeline": "  weekly:\n    pipeline", "      daily:": "      weekly:"},
            ),
            "-e",
            "prod",
            "--prune",
        )
        names = sorted(each["display_name"] for each in server.recurring_runs.values())
        assert names == ["flights-weekly", "trains-daily"]


def test_kubernetes_objects_hold_what_kfp_itself_would_write(tmp_path: Path) -> None:
    from kfp import compiler
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    project = project_file.read(put(tmp_path))
    prod = project.environment("prod")
    text = in_environment.compiled(project, prod, project.pipeline("training")).text
    pipeline, version = kubernetes_objects.objects(text, "team")
    component = in_environment.components.load_component_from_text(text)
    options = KubernetesManifestOptions(
        pipeline_version_name=version["metadata"]["name"],
        pipeline_version_display_name=version["spec"]["displayName"],
        namespace="team",
        include_pipeline_manifest=True,
    )
    target = str(tmp_path / "kfp.yaml")
    compiler.Compiler().compile(component, target, kubernetes_manifest_format=True, kubernetes_manifest_options=options)
    theirs = list(yaml.safe_load_all(Path(target).read_text()))
    assert [pipeline["metadata"], version["metadata"]] == [each["metadata"] for each in theirs]
    assert pipeline["spec"] == theirs[0]["spec"] | {"description": pipeline["spec"]["description"]}
    assert version["spec"]["pipelineSpec"]["root"] == theirs[1]["spec"]["pipelineSpec"]["root"]
    assert version["spec"]["platformSpec"] == theirs[1]["spec"]["platformSpec"]
    assert version["spec"]["pipelineName"] == theirs[1]["spec"]["pipelineName"]
    done = called(
        compile_, "training", "-e", "prod", "--format", "kubernetes", "--project", put(tmp_path), "-o", tmp_path
    )
    assert [each["kind"] for each in yaml.safe_load_all(Path(done.stdout.strip()).read_text())] == [
        "Pipeline",
        "PipelineVersion",
    ]
