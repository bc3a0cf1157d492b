"""A run of a shipped pipeline takes few pods, and its Workflow stays within what Argo keeps."""

import yaml
from google.protobuf import json_format
from kfp import compiler, dsl

from mainspring.components import ingest_examples, refuse_run, resolve_champion
from mainspring.pipelines import environments
from mainspring.pipelines.compiling import catalogue, kfp_yaml, workflow_size
from mainspring.pipelines.compiling.light_kfp import PipelineSpec


def shipped(name: str) -> PipelineSpec:
    text = (environments.PIPELINES / f"{name}.yaml").read_text()
    return json_format.ParseDict(next(yaml.safe_load_all(text)), PipelineSpec())


def test_a_run_of_continuous_training_takes_fourteen_pods_and_less_than_half_of_what_argo_keeps() -> None:
    assert workflow_size.of_run(shipped("continuous_training"), taken=False).pods == 14
    assert workflow_size.of_run(shipped("continuous_training")).bytes < 500_000


def test_monitoring_with_a_retraining_in_it_stays_below_what_argo_keeps() -> None:
    assert workflow_size.of_run(shipped("continuous_monitoring")).bytes < 900_000
    assert workflow_size.warning(shipped("continuous_monitoring")) == ""


def test_pods_are_a_driver_for_all_a_driver_and_an_executor_a_step_and_a_driver_a_branch() -> None:
    @dsl.pipeline(name="counted")
    def counted(really: bool = True):
        refuse_run(stage="data", reasons="none")
        with dsl.If(really == True):  # noqa: E712
            refuse_run(stage="data", reasons="none")

    assert workflow_size.of_run(counted.pipeline_spec).pods == 6
    assert workflow_size.of_run(counted.pipeline_spec, taken=False).pods == 4


def test_a_pipeline_of_very_many_steps_is_said_to_come_near_the_limit() -> None:
    @dsl.pipeline(name="many")
    def many():
        for _ in range(40):
            refuse_run(stage="data", reasons="none")

    assert "many: a run's Workflow may grow to about" in workflow_size.warning(many.pipeline_spec)


def test_parts_that_no_parameter_asks_for_are_not_compiled_in() -> None:
    lean = catalogue.load("continuous_training")
    assert catalogue.fitting(lean, {"on_refusal": "fail", "approvers": "", "notify_to": []}) is lean
    whole = catalogue.fitting(lean, {"on_refusal": "skip", "approvers": "{ann: ssh}", "notify_to": ["slack:"]})
    compiled = yaml.safe_load(kfp_yaml.compiled(whole).split("\n---\n")[0])
    assert {"comp-approve", "comp-notify", "comp-refuse-run"} <= set(compiled["components"])
    tasks = [task for part in compiled["components"].values() for task in part.get("dag", {}).get("tasks", {}).items()]
    tasks += compiled["root"]["dag"]["tasks"].items()
    assert [task["cachingOptions"] for name, task in tasks if name in ("approve", "notify")] == [{}, {}]
    assert "comp-approve" not in yaml.safe_load(kfp_yaml.compiled(lean).split("\n---\n")[0])["components"]


def test_a_compiled_pipeline_describes_its_parameters_and_holds_no_docstrings() -> None:
    spec = shipped("continuous_training")
    assert "waited for" in spec.root.input_definitions.parameters["approvers"].description
    for executor in json_format.MessageToDict(spec.deployment_spec)["executors"].values():
        assert '"""' not in executor["container"]["command"][3]


def test_a_file_of_kfps_own_compiler_is_the_same_content_as_its_function(tmp_path) -> None:
    @dsl.pipeline(name="ours")
    def ours(target: str, source: str):
        champion = resolve_champion(target=target)
        ingest_examples(source=source, baseline_uri=champion.outputs["baseline_uri"])

    file = tmp_path / "ours.yaml"
    compiler.Compiler().compile(ours, str(file))
    from_file = kfp_yaml.compiled(catalogue.load(str(file)))
    assert "enableCache: true" in from_file
    assert kfp_yaml.compiled(ours) == from_file
