"""A parameter has the same value however it is written and whatever runs the pipeline, or it is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster import uploads
from mainspring.pipelines.compiling import catalogue, kfp_yaml
from mainspring.pipelines.compiling.light_kfp import PipelineSpec
from mainspring.pipelines.engines import process
from mainspring.pipelines.engines.progress import PlainProgress
from mainspring.pipelines.parameters import read_parameters, split_parameters, typed_arguments
from mainspring.pipelines.parameters.declared import Kind, parameters
from tests.pipelines.parameters.value_pipelines import LINES, dollars, values

TRICKY = ["{{$}}", "{{$.inputs}}", "{{$.a.b}}", "$$it's$$", "$(HOME)", "/kfp-workspace/x", "{{$.pipeline_job_name}}"]


@pytest.fixture(scope="module")
def spec() -> PipelineSpec:
    return values.pipeline_spec


def from_file(spec: PipelineSpec, folder: Path, text: str) -> dict[str, Any]:
    path = folder / "p.yaml"
    path.write_text(f"out: o\n{text}")
    typed = typed_arguments(spec, read_parameters(path))
    return {name: value for name, value in typed.items() if name != "out"}


def from_options(spec: PipelineSpec, *options: str) -> dict[str, Any]:
    typed = typed_arguments(spec, split_parameters(("out=o", *options)))
    return {name: value for name, value in typed.items() if name != "out"}


@pytest.mark.parametrize(
    ("text", "options", "value"),
    [
        ("texts: [1, no, 2026-11-01, 1e3, 012, ~x]", ["texts=1,no,2026-11-01,1e3,012,~x"], None),
        ('texts: [1, "no"]', ['texts=[1, "no"]'], {"texts": ["1", "no"]}),
        ("texts: a, b", ["texts=a", "texts=b"], {"texts": ["a", "b"]}),
        ("text: 2026-11-01", ["text=2026-11-01"], {"text": "2026-11-01"}),
        ("text: 0310", ["text=0310"], {"text": "0310"}),
        ("text: no", ["text=no"], {"text": "no"}),
        ("text: 12:30", ["text=12:30"], {"text": "12:30"}),
        ("share: 2e-1", ["share=2e-1"], {"share": 0.2}),
        ("share: 3", ["share=3"], {"share": 3.0}),
        ("switch: yes", ["switch=yes"], {"switch": True}),
        ('whole: "7"', ["whole=7"], {"whole": 7}),
        ("whole: 9007199254740992", ["whole=9007199254740992"], {"whole": 2**53}),
        ("numbers: {1: 2e-1, on: 3}", ['numbers={"1": 2e-1, "on": 3}'], {"numbers": {"1": 0.2, "on": 3.0}}),
        (
            "anything: [1, 1e-1, true, x, 2026-11-01, {a: [2]}]",
            ['anything=[1, 1e-1, true, "x", "2026-11-01", {"a": [2]}]'],
            {"anything": [1, 0.1, True, "x", "2026-11-01", {"a": [2]}]},
        ),
    ],
)
def test_a_file_and_options_give_the_same_value(
    spec: PipelineSpec, tmp_path: Path, text: str, options: list[str], value: Any
) -> None:
    read = from_file(spec, tmp_path, text)
    assert read == from_options(spec, *options)
    assert value is None or read == value
    assert [type(v) for v in read.values()] == [type(v) for v in from_options(spec, *options).values()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("share: .nan", r"p.yaml: line 2: parameter share is '.nan'; it must be a finite number"),
        ("share: 1e400", "it must be a finite number"),
        ("anything: [.inf]", r"parameter anything\[0\] is '.inf'; it must be a finite number"),
        ("anything: [1,\n no]", r"line 3: parameter anything\[1\] is 'no'; YAML takes that for true or false"),
        ("anything: [0x10]", r"in plain digits; write it in quotes"),
        ("anything: [9007199254740993]", "KFP carries no whole number beyond 9007199254740992"),
        ("numbers: {a: {b: 1}}", r"parameter numbers\['a'\] is 'a mapping'; it must be a number"),
        ("numbers: {a: x}", r"parameter numbers\['a'\] is 'x'; it must be a number"),
        ("texts: [null]", r"parameter texts\[0\] is 'null'; leave the line out"),
        ("text:", "parameter text is 'empty'; leave the line out for the default"),
        ("text: [a]", "parameter text is 'a list'; it must be text"),
        ("whole: 1.0", "it must be a whole number"),
        ("whole: 9007199254740993", "KFP carries no whole number"),
        ("on: 3", "p.yaml: line 2: values has no parameter on"),
        ("[1]: 3", "p.yaml: line 1: a key is a list"),
        ("text: !!binary aGk=", "the tag !!binary means nothing here"),
        ('text: "a\\0b"', "it holds a NUL character"),
        ('text: "\\ud800"', "it is not UTF-8"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line_and_a_cure(
    spec: PipelineSpec, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(UserError, match=words) as error:
        from_file(spec, tmp_path, text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["text=a", "text=b"], "parameter text is given 2 times; give it once"),
        (["share=nan"], "it must be a finite number"),
        (["whole=1e3"], "it must be a whole number"),
        (["anything=[null]"], r"parameter anything\[0\] is 'null'"),
        (["anything=[NaN]"], "it must be a finite number"),
        (['numbers={"a": 1, "a": 2}'], "a key occurs twice"),
        (["numbers=[1]"], "it must be a mapping"),
        (["text=\udcff"], "it is not UTF-8"),
    ],
)
def test_options_are_judged_alike(spec: PipelineSpec, options: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        from_options(spec, *options)


@pytest.mark.parametrize("wrong", [{"anything": [None]}, {"anything": [{1: 2}]}, {"share": float("nan")}, {"text": 3}])
def test_values_from_python_are_judged_alike(spec: PipelineSpec, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="parameter "):
        typed_arguments(spec, {"out": "o", **wrong})


def test_the_types_of_elements_are_found_below_the_pipeline(spec: PipelineSpec) -> None:
    declared = parameters(spec)
    assert declared["texts"].kind == Kind("LIST", Kind("STRING"))
    assert declared["numbers"].kind == Kind("STRUCT", Kind("NUMBER_DOUBLE"))
    assert declared["anything"].kind == Kind("LIST")
    assert parameters(catalogue.load_pipeline("continuous_training"))["exclude"].kind.element == Kind("STRING")


@pytest.mark.parametrize("text", ["SELECT $$it's$$", "$(HOME)", "{{$.x}}", "{{workflow.name}}"])
def test_texts_that_a_cluster_would_change_are_refused_before_they_are_sent(spec: PipelineSpec, text: str) -> None:
    for given in ({"text": text}, {"anything": [{"a": text}]}):
        with pytest.raises(UserError, match=r"parameter \w+ is .* on a cluster; "):
            uploads.for_cluster(spec, {"out": "o", **given})
    assert uploads.for_cluster(spec, {"out": "o", "text": "$1 costs {SPAN} $x"})["text"] == "$1 costs {SPAN} $x"


def test_a_default_that_a_cluster_would_change_is_refused_unless_it_is_replaced() -> None:
    with pytest.raises(UserError, match="its default"):
        uploads.for_cluster(dollars.pipeline_spec, {"out": "o"})
    assert uploads.for_cluster(dollars.pipeline_spec, {"out": "o", "text": "x"})


def test_what_arrives_is_what_was_given_from_a_compiled_file_too(tmp_path: Path) -> None:
    compiled = tmp_path / "values.yaml"
    compiled.write_text(kfp_yaml.compiled(values))
    spec, seen = catalogue.load_pipeline(str(compiled)), tmp_path / "seen.json"
    given = {
        "out": str(seen),
        "texts": [*TRICKY, LINES],
        "anything": [1, {"a": 2, "{{$}}": 2.5}],
        "whole": 2**53,
        "switch": True,
    }
    result = process.run_here(spec, typed_arguments(spec, given), tmp_path / "root", PlainProgress(_Silent()), False)
    assert result.is_success, result.error
    text, texts, numbers, anything, whole, share, switch, due = json.loads(seen.read_text())
    assert text == LINES, "a default with a line break and a control character"
    assert texts == [*TRICKY, LINES]
    expected = [{"a": 1}, [1, {"a": 2, "{{$}}": 2.5}]]
    assert json.dumps([numbers, anything], sort_keys=True) == json.dumps(expected, sort_keys=True), "1 is not 1.0"
    assert (whole, share, switch) == (2**53, 0.5, True)
    assert due.startswith("due 20"), "the author's own placeholders count"


class _Silent:
    """A console that shows nothing."""

    def print(self, *_: object, **__: object) -> None:
        """Prints nothing."""


def test_help_after_a_pipelines_name_lists_its_parameters_as_they_are_declared() -> None:
    from click.testing import CliRunner

    from mainspring.pipelines.commands.run import run

    said = " ".join(CliRunner().invoke(run, ["continuous_training", "--help"]).output.split())
    assert "Parameters of continuous_training: label [text; needed]" in said
    assert "eval_fraction [number; default 0.2] Share of the rows that goes to eval, between 0 and 1." in said
    assert "window [whole number; default 1]" in said
    assert "exclude [list of text] Columns " in said
    assert "Parameters of" not in CliRunner().invoke(run, ["--help"]).output


@pytest.mark.parametrize(
    ("more", "held"),
    [
        ({"model": "trees"}, {"price": "falls", "size": "rises"}),
        ({"model": "auto"}, {"price": "falls", "size": "rises"}),
        ({"model": "network"}, None),
        ({}, None),
        ({"model": "trees", "rises_with": '{"size": "rises"}'}, {"size": "rises"}),
    ],
)
def test_what_the_policy_tests_of_a_direction_trees_are_trained_to_keep(more: dict[str, str], held: Any) -> None:
    policy = """behaviour:
- {rises_with: size, by: 1}
- {falls_with: price, by: 10}
- {rises_with: odd, by: 1}
- {falls_with: odd, by: 1}
- {robust_to: missing}
"""
    spec = catalogue.load_pipeline("continuous_training")
    given = {"source": "s.csv", "label": "l", "target": "local://t", "evaluation_policy": policy}
    typed = typed_arguments(spec, given | more)
    assert (json.loads(typed["rises_with"]) if "rises_with" in typed else None) == held
