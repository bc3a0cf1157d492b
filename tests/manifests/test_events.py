"""The receiver of events, as a component of an overlay: a restricted pod that has the team's own file."""

from __future__ import annotations

from pathlib import Path

import yaml
from click.testing import CliRunner

from mainspring.pipelines.commands.starting.receive import TOKEN_VARIABLE, receive
from mainspring.pipelines.project import in_environment, project_file
from tests.manifests.pod_security import violations
from tests.manifests.rendering import MANIFESTS, Manifest, one, pods, render
from tests.schemas import validate

EVENTS = MANIFESTS / "components" / "events"


def test_the_receiver_runs_restricted_with_the_teams_own_file(tmp_path: Path) -> None:
    (tmp_path / "plain").symlink_to(MANIFESTS)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "mainspring.yaml").write_text(
        (EVENTS / "mainspring.example.yaml").read_text().replace("late", "tip")
    )
    literals = ["PIPELINE=training@prod", "EVENTS=gs://team/events", "KF_PIPELINES_ENDPOINT=http://kfp"]
    ours = [{"name": "mainspring-project", "files": ["mainspring.yaml"]}]
    ours.append({"name": "mainspring-receiver", "literals": literals})
    kustomization = {
        "resources": ["../plain/overlays/plain"],
        "components": ["../plain/components/events"],
        "namespace": "t",
    }
    (tmp_path / "ours" / "kustomization.yaml").write_text(yaml.safe_dump(kustomization | {"configMapGenerator": ours}))

    manifests = render(tmp_path / "ours")

    assert [error for manifest in manifests for error in validate(manifest)] == []
    deployment = one(manifests, "Deployment", "mainspring-receiver")
    [(_, pod)] = pods(deployment["spec"])
    assert violations(pod) == []
    project = one(manifests, "ConfigMap", "mainspring-project")
    assert "label: tip" in project["data"]["mainspring.yaml"]
    assert pod["volumes"][0]["configMap"]["name"] == project["metadata"]["name"]
    assert container_settings(pod) == one(manifests, "ConfigMap", "mainspring-receiver")["metadata"]["name"]
    [container] = pod["containers"]
    assert container["image"] == "mainspring/receiver:0.1.0"
    assert TOKEN_VARIABLE in [variable["name"] for variable in container["env"]]
    command, *arguments = container["args"]
    assert command == receive.name
    options = [argument for argument in arguments if argument.startswith("--")]
    known = {option for parameter in receive.params for option in parameter.opts}
    assert set(options) <= known


def container_settings(pod: Manifest) -> str:
    """Returns the name of the ConfigMap that the receiver's settings come from."""
    name: str = pod["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    return name


def test_its_example_file_is_a_project_whose_pipeline_compiles() -> None:
    project = project_file.read(EVENTS / "mainspring.example.yaml")
    made = in_environment.compiled(project, project.environment("prod"), project.pipeline("training"))
    assert made.values["target"] == "kserve://team/flights"
    assert "CloudEvents" in CliRunner().invoke(receive, ["--help"]).output
