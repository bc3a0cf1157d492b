"""Pipelines are found by name, function or file, and their parameters are typed and checked before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainspring.components.common.errors import UserError
from mainspring.pipelines.compiling import catalogue, kfp_yaml
from mainspring.pipelines.parameters import typed_arguments

NEEDED = {"source": "data.csv", "label": "late", "target": "local://x"}


@pytest.fixture(scope="module")
def spec() -> catalogue.PipelineSpec:
    return catalogue.load_pipeline("continuous_training")


def test_a_built_in_pipeline_is_found_with_dashes_too(spec: catalogue.PipelineSpec) -> None:
    assert catalogue.load_pipeline("continuous-training").pipeline_info.name == spec.pipeline_info.name


def test_a_compiled_file_and_a_function_give_the_same_pipeline(spec: catalogue.PipelineSpec) -> None:
    path = Path(kfp_yaml.environments.PIPELINES) / "continuous_training.yaml"
    function = "mainspring.pipelines.continuous_training:continuous_training"
    assert catalogue.load_pipeline(str(path)).components == spec.components
    assert catalogue.load_pipeline(function).components == spec.components


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("continous_training", "did you mean continuous_training"),
        ("nothing.yaml", "nothing.yaml: no such file"),
        ("no_such_module:pipeline", "there is no module no_such_module"),
        ("json:dumps", "is no pipeline or component"),
    ],
)
def test_what_is_no_pipeline_is_refused_in_words(pipeline: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        catalogue.load_pipeline(pipeline)


def test_a_file_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1,\n")
    with pytest.raises(UserError, match="is no compiled pipeline"):
        catalogue.load_pipeline(str(path))


def test_strings_are_read_as_the_types_of_the_parameters(spec: catalogue.PipelineSpec) -> None:
    given = NEEDED | {"window": "3", "eval_fraction": "0.25", "exclude": "a, b", "split_columns": '["c,d"]'}
    typed = typed_arguments(spec, given)
    assert typed == NEEDED | {"window": 3, "eval_fraction": 0.25, "exclude": ["a", "b"], "split_columns": ["c,d"]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (NEEDED | {"windw": "3"}, "did you mean window"),
        ({"source": "x"}, "needs label, target"),
        (NEEDED | {"window": "many"}, "window is 'many'; it must be a whole number"),
        (NEEDED | {"window": True}, "it must be a whole number"),
        (NEEDED | {"source": 3}, "it must be text"),
        (NEEDED | {"exclude": "[1"}, "it must be a list"),
    ],
)
def test_wrong_parameters_are_refused_in_words(spec: catalogue.PipelineSpec, given: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        typed_arguments(spec, given)


def test_the_compiled_files_of_the_repository_are_current() -> None:
    assert kfp_yaml.write(kfp_yaml.generated_files(), check=True) == 0


def test_a_registry_is_put_before_our_images_and_no_others() -> None:
    text = kfp_yaml.compiled(catalogue.load("continuous_training"), registry="registry.example.com/team/")
    images = {line.split()[-1] for line in text.splitlines() if line.strip().startswith("image:")}
    assert images == {
        f"registry.example.com/team/mainspring/{folder}:0.1.0"
        for folder in ("ingestion", "validation", "training", "evaluation", "deployment", "kubeflow")
    }


def test_an_evaluation_policy_that_no_model_can_miss_is_refused_before_the_run_begins(
    spec: catalogue.PipelineSpec,
) -> None:
    with pytest.raises(UserError, match=r"for 65 % give 0\.65"):
        typed_arguments(spec, NEEDED | {"evaluation_policy": "gates: [{metric: auc, min: 65}]"})
    policy = "gates: [{metric: auc, min: 0.65}]"
    assert typed_arguments(spec, NEEDED | {"evaluation_policy": policy})["evaluation_policy"] == policy
    with pytest.raises(UserError, match="is no metric for regression"):
        typed_arguments(spec, NEEDED | {"evaluation_policy": policy, "task": "regression"})
