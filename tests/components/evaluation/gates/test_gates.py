"""Fairness gaps, size and latency, behaviour tests, and champions that cannot be measured."""

import shutil

import numpy as np
import pytest
import toys

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, ModelManifest
from mainspring.components.evaluation.policy.policy_yaml import parse


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return toys.write_examples(tmp_path_factory.mktemp("examples") / "artifact", toys.binary_columns())


def failed(result):
    return [gate["metric"] for gate in result.content["gates"] if not gate["passed"]]


def test_a_gap_between_groups_is_refused(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["good"] = np.where(np.array(columns["carrier"]) == "B6", columns["fair"], columns["good"])
    examples = toys.write_examples(tmp_path / "examples", columns)
    policy = "gates: [{metric: AUC, slice: carrier, max_gap: %s}]"
    result = evaluate(examples, models["good"], policy=policy % 0.01)
    assert failed(result) == ["auc"]
    assert "(carrier B6)" in result.reasons
    assert "beyond noise" in result.reasons
    assert evaluate(examples, models["good"], policy=policy % 0.5).blessed


def test_a_gap_that_chance_explains_is_none_unless_the_policy_says_so(examples, models, evaluate):
    policy = "gates: [{metric: AUC, slice: carrier, max_gap: 0.000001, allow_noise: %s}]"
    assert not evaluate(examples, models["good"], policy=policy % "false").blessed
    assert evaluate(examples, models["fair"], policy=policy % "true").blessed


def test_size_and_latency_are_judged_against_bounds_and_champion(tmp_path, examples, models, evaluate):
    heavy = tmp_path / "heavy"
    shutil.copytree(models["good"], heavy)
    (heavy / "assets").mkdir(exist_ok=True)
    (heavy / "assets" / "words.txt").write_bytes(b"x" * 3_000_000)
    bounded = (
        "gates: [{metric: AUC, min: 0.5}, {metric: model_megabytes, max: 2}, {metric: row_milliseconds, max: 5000}]"
    )
    assert failed(evaluate(examples, heavy, policy=bounded)) == ["model_megabytes"]
    passing = evaluate(examples, models["good"], policy=bounded)
    assert passing.blessed
    assert passing.content["costs"]["challenger"]["row_milliseconds"] > 0
    compared = "gates: [{metric: AUC, min: 0.5}, {metric: model_megabytes, max_relative_loss: 0.5}]"
    assert failed(evaluate(examples, heavy, models["good"], compared)) == ["model_megabytes"]
    assert evaluate(examples, models["good"], heavy, compared).blessed
    tight = "gates: [{metric: batch_milliseconds, max: 0.000001}]"
    assert failed(evaluate(examples, models["good"], policy=tight)) == ["batch_milliseconds"]


def test_a_broken_champion_is_left_out_only_where_that_is_asked_for(tmp_path, examples, models, rebaseline):
    broken = tmp_path / "broken"
    shutil.copytree(models["fair"], broken)
    (broken / "saved_model.pb").write_bytes(b"not a graph")
    result = rebaseline(examples, models["good"], champion=broken)
    assert result.blessed
    assert "cannot be loaded" in result.content["rebaselined"]
    assert "judged as a first model" in result.report.read_text(encoding="utf-8")
    assert rebaseline(examples, models["good"], champion=models["fair"]).content["rebaselined"] is None
    assert not rebaseline(examples, models["bad"], "gone", "gates: [{metric: AUC, min: 0.9}]").blessed


BEHAVIOUR = [
    ("{invariant_to: carrier, set_to: XX}", True),
    ("{invariant_to: good, set_to: 0.5, tolerance: 0.01}", False),
    ("{invariant_to: good, set_to: 0.5, tolerance: 0.99}", True),
    ("{rises_with: good, by: 0.1}", True),
    ("{falls_with: good, by: 0.1}", False),
    ("{golden: [{inputs: {good: 0.25}, expect: 0.25}], tolerance: 0.001}", True),
    ("{golden: [{inputs: {good: 0.25}, expect: 0.75}], tolerance: 0.001}", False),
    ("{golden: [{inputs: {good: much}, expect: 0.75}]}", False),
    ("{robust_to: missing}", False),
    ("{robust_to: extreme}", False),
]


@pytest.mark.parametrize(("test", "holds"), BEHAVIOUR)
def test_behaviour_is_judged(examples, models, evaluate, test, holds):
    result = evaluate(examples, models["good"], policy=f"behaviour: [{test}]\nworst_slices: 0\nmetrics: [AUC]")
    assert result.blessed is holds, result.reasons
    judged = result.content["gates"][-1]
    assert judged["passed"] is holds
    assert judged["says"].startswith(judged["metric"])


def test_a_model_that_fills_in_what_is_missing_is_robust(tmp_path, examples, evaluate):
    model = toys.write_model(tmp_path / "model", ["good"], clipped=True)
    policy = "behaviour: [{robust_to: missing}, {robust_to: extreme}]"
    assert evaluate(examples, model, policy=policy).blessed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gates: [{metric: AUC, max_gap: 0.1}]", "give slice"),
        ("gates: [{metric: AUC, slice: carrier, max_gap: -1}]", "must not be negative"),
        ("gates: [{metric: model_megabytes, min: 1}]", "min means nothing here"),
        ("gates: [{metric: row_milliseconds}]", "asks nothing"),
        ("behaviour: [{invariant: carrier}]", "expected a mapping with one of invariant_to"),
        ("behaviour: [{invariant_to: carier, set_to: x}]", "takes no feature 'carier'"),
        ("behaviour: [{invariant_to: carrier}]", "give set_to"),
        ("behaviour: [{invariant_to: carrier, set_to: x, share: 1}]", "unknown key 'share'"),
        ("behaviour: [{rises_with: carrier, by: 1}]", "needs a numeric feature"),
        ("behaviour: [{rises_with: distance}]", "give by"),
        ("behaviour: [{robust_to: anything}]", "expected missing or extreme"),
        ("behaviour: [{golden: []}]", "expected a list"),
        ("behaviour: [{golden: [{inputs: {gone: 1}, expect: 1}]}]", "takes no feature 'gone'"),
        ("buckets: {distance: 1}", "expected 2 to 100 buckets"),
        ("buckets: {distance: [3, 1]}", "ascending edges"),
        ("buckets: {distanc: 3}", "did you mean distance?"),
        ("worst_slices: -1", "whole number above -1"),
    ],
)
def test_a_wrong_policy_is_one_line_that_says_what_to_do(text, says):
    features = {"carrier": "categorical", "distance": "numeric"}
    model = ModelManifest(BINARY, "late", ["0", "1"], features, {}, 1, "", "", "", "", {})
    with pytest.raises(UserError) as caught:
        parse(text, model, {"late": "int64", "carrier": "string", "distance": "int64"})
    assert says in str(caught.value)
    assert str(caught.value).startswith("policy:")
    assert "\n" not in str(caught.value)
