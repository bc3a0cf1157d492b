import re

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, MULTICLASS, REGRESSION, ModelManifest
from mainspring.components.common.written.policy_text import read_text
from mainspring.components.evaluation.policy import early_check
from mainspring.components.evaluation.policy.policy import Gate, Metric
from mainspring.components.evaluation.policy.policy_yaml import parse

COLUMNS = {"late": "int64", "carrier": "string", "origin": "string", "distance": "int64"}


def manifest(task=BINARY):
    return ModelManifest(task, "late", ["0", "1"], {"carrier": "categorical"}, {}, 1, "", "", "", "", {})


@pytest.mark.parametrize(
    ("task", "metric"),
    [(BINARY, "auc"), (MULTICLASS, "sparse_categorical_accuracy"), (REGRESSION, "root_mean_squared_error")],
)
def test_the_default_asks_to_beat_the_trivial_predictor_and_not_to_lose_to_the_champion(task, metric):
    policy = parse("", manifest(task), COLUMNS)
    rare = [
        Gate("auc_precision_recall", better_than_trivial=True, if_rare=True),
        Gate("recall", better_than_trivial=True, if_rare=True, allow_noise=False),
    ]
    rare = rare if task == BINARY else []
    assert policy.gates == (
        Gate(metric, better_than_trivial=True),
        *rare,
        Gate(metric, max_relative_loss=0.0025),
    )


def test_a_gates_metric_and_slice_are_measured_without_being_listed():
    policy = parse("metrics: [AUC]\ngates: [{metric: recall, slice: [carrier, origin], min: 0.1}]", manifest(), COLUMNS)
    assert [metric.class_name for metric in policy.metrics] == ["AUC", "Recall"]
    assert policy.slices == (("carrier", "origin"),)


def test_a_metric_takes_settings_and_a_name():
    text = "metrics:\n- Precision: {thresholds: 0.8, name: sure}\ngates: [{metric: sure, min: 0.9}]"
    policy = parse(text, manifest(), COLUMNS)
    assert policy.metrics[0] == Metric("Precision", {"thresholds": 0.8, "name": "sure"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("metrics: [AUCC]", "unknown metric 'AUCC'; did you mean AUC?"),
        ("metrics: [MeanSquaredLogarithmicError]", "is no metric for binary_classification"),
        ("gates: [{metric: Presicion, min: 1}]", "did you mean Precision?"),
        ("slices: [carier]", "'carier' is no column of the examples; did you mean carrier?"),
        ("slices: [late]", "is the label"),
        ("slices: [[carrier, carrier]]", "different columns"),
        ("slice: [carrier]", "unknown key 'slice'; did you mean slices?"),
        ("gates: [{metric: AUC, maxloss: 0}]", "unknown key 'maxloss'; did you mean max_loss?"),
        ("gates: [{metric: AUC}]", "asks nothing"),
        ("gates: [{min: 0.5}]", "names no metric"),
        ("gates: [{metric: AUC, min: high}]", "expected a number, found 'high'"),
        ("gates: [{metric: AUC, min: true}]", "expected a number"),
        ("gates: [{metric: AUC, min: .nan}]", "expected a number"),
        ("gates: [{metric: AUC, min: .inf}]", "expected a number"),
        ("gates: [{metric: AUC, max_loss: -1}]", "must not be negative"),
        ("gates: [{metric: AUC, max_relative_loss: -1}]", "must not be negative"),
        ("gates: [{metric: AUC, min: 0.9, max: 0.1}]", "above max"),
        ("gates: [{metric: Calibration, max_loss: 0.1}]", "max_loss means nothing"),
        ("gates: [{metric: Recall, better_than_trivial: true}]", "trivial predictor is known only for"),
        ("gates: [{metric: AUC, slice: carier, min: 0.5}]", "did you mean carrier?"),
        ("gates: [{metric: AUC, min: 0.5, allow_noise: 1}]", "expected true or false"),
        ("gates: {metric: AUC}", "expected a list"),
        ("min_slice_rows: 0", "whole number above 0"),
        ("metrics: [Precision, Precision]", "occurs twice"),
        ("metrics: [{Precision: 0.8}]", "settings as a mapping"),
        ("just words", "expected a mapping"),
        ("metrics: [", "not YAML"),
        ("gates: 2026-02-30", "is not YAML: day is out of range"),
        ("gates: [{metric: AUC, min: 0.7, min: 0.1}]", "the key 'min' occurs twice"),
        ("gates: [{metric: AUC, min: 0.9}]\ngates: []", "the key 'gates' occurs twice"),
        ("gates: [{metric: AUC, min: " + "9" * 400 + "}]", "a whole number of more than 19 digits"),
        ("gates: [{metric: AUC, min: " + "9" * 5000 + "}]", "not YAML"),
        ("slices: &x [*x]", "holds itself"),
        ("{" * 5000, "nested too deeply"),
        ("\0", "not YAML"),
        (
            "slices: [&a [x,x,x,x,x,x,x,x,x,x],"
            + ",".join(f"&{b} [{','.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True))
            + "]",
            "it stands for more than 100,000 values",
        ),
        ("metrics: [{AUC: {name: model_megabytes}}]", "is what the model itself costs"),
        ("behaviour: [{invariant_to: [carrier], set_to: x}]", "the model takes no feature ['carrier']"),
        ("gates: [{metric: AUC, min: 65}]", "the metric's range: it lies between 0 and 1; for 65 % give 0.65"),
        ("gates: [{metric: MatthewsCorrelationCoefficient, min: -1.5}]", "it lies between -1 and 1"),
        ("gates: [{metric: AUC, min: -1}]", "outside the metric's range"),
        ("gates: [{metric: AUC, min: 0}]", "min 0 asks nothing: no model is below 0"),
        ("gates: [{metric: AUC, min: 0.4}]", "a model that knows nothing reaches 0.5"),
        ("gates: [{metric: Recall, max: 1, min: 0.2}]", "max 1 asks nothing"),
        ("gates: [{metric: FalsePositives, max: 0}]", "can never be met"),
        ("gates: [{metric: TruePositives, min: 1}]", "one row meets it"),
        ("gates: [{metric: BinaryCrossentropy, max: 5}]", "says one half for every row reaches 0.6931"),
        ("gates: [{metric: AUC, max_loss: 5}]", "max_loss 5 asks nothing"),
        ("gates: [{metric: AUC, max_loss: 0.5}]", "max_loss 0.5 asks nothing"),
        ("gates: [{metric: AUC, max_relative_loss: 5}]", "a share above 1, 500 %; give 0.05 for 5 %"),
        ("gates: [{metric: AUC, min_gain: 1}]", "can never be reached"),
        ("gates: [{metric: BinaryCrossentropy, min_relative_gain: 1}]", "can never be reached"),
        ("gates: [{metric: AUC, slice: carrier, max_gap: 1}]", "max_gap 1 asks nothing"),
        ("gates: [{metric: row_milliseconds, max_relative_loss: 50}]", "give 0.5 for 50 %"),
        ("gates: [{metric: row_milliseconds, max: 0}]", "can never be met"),
        ("behaviour: [{invariant_to: carrier, set_to: x, tolerance: 1}]", "probabilities are 0 to 1"),
    ],
)
def test_a_wrong_policy_is_one_line_that_says_what_to_do(text, says):
    with pytest.raises(UserError) as caught:
        parse(text, manifest(), COLUMNS)
    assert says in str(caught.value)
    assert str(caught.value).startswith("policy:")
    assert "\n" not in str(caught.value)


def test_anchors_and_merged_keys_are_read_as_yaml_has_them():
    text = "gates: [&gate {metric: AUC, min: 0.5}, {<<: *gate, metric: Recall}]"
    assert [(gate.metric, gate.min) for gate in parse(text, manifest(), COLUMNS).gates][:2] == [
        ("auc", 0.5),
        ("recall", 0.5),
    ]


def test_a_policy_may_be_a_file(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("min_slice_rows: 7\n", encoding="utf-8")
    assert parse(read_text(str(path)), manifest(), COLUMNS).min_slice_rows == 7
    with pytest.raises(UserError, match="cannot be read"):
        read_text(str(tmp_path / "gone.yaml"))


def test_settings_that_tfma_refuses_are_one_line():
    from mainspring.components.evaluation.metrics.measuring import measure_with

    policy = parse("metrics: [{AUC: {num_treshold: 3}}]", manifest(), COLUMNS)
    with pytest.raises(UserError, match="TFMA refuses the settings"):
        measure_with(policy.metrics, manifest())


def test_bounds_that_a_model_can_miss_and_meet_are_taken():
    for gate in (
        "{metric: AUC, min: 0.5}",
        "{metric: AUC, slice: carrier, min: 0.45}",
        "{metric: AUC, min: 0.65, max: 0.999, max_loss: 0.005, min_relative_gain: 0.01}",
        "{metric: calibration, min: 0.9, max: 1.1}",
        "{metric: true_positives, min: 100}",
        "{metric: row_milliseconds, max: 20, max_relative_loss: 0.5}",
    ):
        assert parse(f"gates: [{gate}]", manifest(), COLUMNS).gates[0].metric


def test_a_policy_is_checked_before_there_is_a_model_as_far_as_that_can_be():
    for right in (
        "",
        "gates: [{metric: root_mean_squared_error, max: 9000}]",
        "slices: [[any, thing]]\nbuckets: {thing: 4}\nbehaviour: [{rises_with: thing, by: 3}]",
        "/policies/in-the-image.yaml",
    ):
        early_check.check(right)
    for wrong, says in (
        ("gates: [{metric: auc, min: 65}]", "for 65 % give 0.65"),
        ("gates: [{metric: rmse, max: 1}]", "unknown metric 'rmse'"),
        ("gatez: []", "did you mean gates?"),
        ("behaviour: [{rises_with: distance}]", "give by"),
    ):
        with pytest.raises(UserError, match=re.escape(says)):
            early_check.check(wrong)
    with pytest.raises(UserError, match="is no metric for regression"):
        early_check.check("gates: [{metric: auc, min: 0.65}]", REGRESSION)
