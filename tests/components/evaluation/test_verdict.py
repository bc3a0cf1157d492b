import json
import math
import shutil
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import toys
from gcs_server import google_storage
from google.cloud import storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return toys.write_examples(tmp_path_factory.mktemp("examples") / "artifact", toys.binary_columns())


def test_without_a_champion_a_model_better_than_chance_is_blessed(examples, models, evaluate):
    result = evaluate(examples, models["good"])
    assert result.blessed
    assert result.content["metrics"]["champion"] is None
    assert result.content["metrics"]["challenger"]["auc"] > 0.9
    assert result.logged["auc"] == result.content["metrics"]["challenger"]["auc"]


def test_without_a_champion_a_model_no_better_than_chance_is_refused(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    examples = toys.write_examples(tmp_path / "examples", columns | {"bad": np.full(len(columns["y"]), 0.3)})
    result = evaluate(examples, models["bad"])
    assert not result.blessed
    assert "asked better than 0.5, a random order; 0.5 fails" in result.reasons


@pytest.mark.parametrize("seed", range(4))
def test_a_first_model_that_beats_chance_by_chance_alone_is_refused(tmp_path, models, evaluate, seed):
    columns = toys.binary_columns(seed=seed)
    if np.mean(columns["bad"][columns["y"] == 1]) < np.mean(columns["bad"][columns["y"] == 0]):
        columns["bad"] = 1 - columns["bad"]  # On the lucky side of a half.
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), models["bad"])
    assert result.logged["auc"] > 0.5
    assert not result.blessed
    assert "fails (within noise" in result.reasons
    counted = "gates: [{metric: AUC, better_than_trivial: true, allow_noise: false}]"
    assert evaluate(tmp_path / "examples", models["bad"], policy=counted).blessed


def test_a_better_challenger_is_blessed(examples, models, evaluate):
    result = evaluate(examples, models["good"], champion=models["fair"])
    assert result.blessed
    metrics = result.content["metrics"]
    assert metrics["challenger"]["auc"] > metrics["champion"]["auc"] > 0.5


def test_a_worse_challenger_is_refused_with_both_numbers(examples, models, evaluate):
    result = evaluate(examples, models["fair"], champion=models["good"])
    assert not result.blessed
    (gate,) = [gate for gate in result.content["gates"] if not gate["passed"]]
    assert gate["says"] in result.reasons
    assert gate["margin"] == pytest.approx(gate["challenger"] - 0.9975 * gate["champion"])
    assert gate["interval"]["high"] < 0
    assert "beyond noise" in gate["says"]


def test_a_challenger_equal_to_the_champion_is_blessed(examples, models, evaluate):
    assert evaluate(examples, models["fair"], champion=models["fair"]).blessed


def test_a_loss_within_noise_is_no_loss_unless_the_policy_says_so(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    noisy = columns["fair"] + np.random.default_rng(7).normal(0, 1e-3, len(columns["y"]))
    columns |= {"bad": noisy.clip(0, 1)}
    examples = toys.write_examples(tmp_path / "examples", columns)
    pair = sorted([models["bad"], models["fair"]], key=lambda model: evaluate(examples, model).logged["auc"])
    assert evaluate(examples, pair[0], champion=pair[1]).blessed
    strict = "gates: [{metric: AUC, max_loss: 0, allow_noise: false}]"
    assert not evaluate(examples, pair[0], champion=pair[1], policy=strict).blessed


def test_a_loss_beyond_noise_passes_as_far_as_the_policy_allows_it(examples, models, evaluate):
    loss = evaluate(examples, models["good"]).logged["auc"] - evaluate(examples, models["fair"]).logged["auc"]
    for bound, blessed in ((loss * 1.01, True), (loss * 0.99, False)):
        policy = f"gates: [{{metric: AUC, max_loss: {bound}}}]"
        assert evaluate(examples, models["fair"], champion=models["good"], policy=policy).blessed is blessed
        policy = f"gates: [{{metric: AUC, max_loss: 0.49, max_relative_loss: {bound}}}]"
        champion = evaluate(examples, models["good"]).logged["auc"]
        passes = bound * champion >= loss
        assert evaluate(examples, models["fair"], champion=models["good"], policy=policy).blessed is passes


def test_too_few_rows_to_tell_noise_from_loss_give_no_allowance(tmp_path, models, evaluate):
    columns = {
        "y": [0, 1] * 8,
        "carrier": ["UA"] * 16,
        "good": [0.2, 0.8] * 8,
        "fair": [0.2, 0.8] * 7 + [0.3, 0.1],
    }
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), models["fair"], champion=models["good"])
    assert not result.blessed
    assert "too few rows" in result.reasons


def test_a_candidate_worse_on_one_slice_is_not_blessed(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    at_b6 = np.array(columns["carrier"]) == "B6"
    columns["good"] = np.where(at_b6, columns["bad"], columns["good"])
    examples = toys.write_examples(tmp_path / "examples", columns)
    overall_only = evaluate(examples, models["good"], champion=models["fair"])
    assert overall_only.blessed
    result = evaluate(
        examples, models["good"], models["fair"], "gates: [{metric: AUC, slice: carrier, max_loss: 0.01}]"
    )
    assert not result.blessed
    assert [gate["slice"] for gate in result.content["gates"] if not gate["passed"]] == [{"carrier": "B6"}]
    assert "carrier B6" in result.reasons


def test_slices_and_crosses_are_measured_where_they_have_enough_rows(examples, models, evaluate):
    columns = toys.binary_columns()
    result = evaluate(
        examples, models["good"], policy="slices: [carrier, [carrier, origin]]\nmin_slice_rows: 190\nmetrics: [AUC]"
    )
    rows = {tuple(entry["slice"].values()): entry["rows"] for entry in result.content["slices"]}
    expected = {}
    for carrier, origin in zip(columns["carrier"], columns["origin"], strict=True):
        for place in ((carrier,), (carrier, origin)):
            expected[place] = expected.get(place, 0) + 1
    kept = {place: count for place, count in expected.items() if count >= 190}
    assert rows == kept
    assert result.content["skipped_slices"]["carrier × origin"] == len(expected) - len(kept)


def test_absolute_bounds_are_judged_and_say_by_how_much(examples, models, evaluate):
    policy = "gates: [{metric: binary_accuracy, min: 0.999}, {metric: Calibration, min: 0.5, max: 1.5}]"
    result = evaluate(examples, models["good"], policy=policy)
    accuracy = result.content["metrics"]["challenger"]["binary_accuracy"]
    assert not result.blessed
    assert [gate["passed"] for gate in result.content["gates"]] == [False, True, True]
    assert f"fails by {0.999 - accuracy:.4g}" in result.reasons


def test_a_policy_with_nothing_absolute_still_asks_a_first_model_to_beat_chance(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    examples = toys.write_examples(tmp_path / "examples", columns | {"bad": 1 - columns["good"]})
    assert not evaluate(examples, models["bad"], policy="gates: [{metric: AUC, max_loss: 0.49}]").blessed


@pytest.mark.parametrize(
    "gates",
    ["", "gates:", "gates: []", "gates: [{metric: AUC, max: 0.99}]", "gates: [{metric: model_megabytes, max: 9}]"],
)
def test_no_policy_forgets_to_ask_a_first_model_to_be_good_at_something(tmp_path, models, evaluate, gates):
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns(seed=2))
    result = evaluate(examples, models["bad"], policy=gates)
    assert not result.blessed
    assert "asked better than 0.5, a random order" in result.reasons


@pytest.mark.parametrize("gates", ["gates:", "gates: []"])
def test_a_policy_without_gates_asks_for_no_loss_against_the_champion_as_no_policy_does(
    examples, models, evaluate, gates
):
    result = evaluate(examples, models["fair"], champion=models["good"], policy=gates)
    assert not result.blessed
    assert "worse than the champion" in result.reasons


@pytest.mark.parametrize("change", ["gone", "added"])
def test_eval_rows_that_the_manifest_does_not_count_are_no_ground_for_a_blessing(tmp_path, models, evaluate, change):
    folder = toys.write_examples(tmp_path / "examples", toys.binary_columns()) / "eval"
    if change == "gone":
        (folder / "2.parquet").unlink()
    else:
        shutil.copy(folder / "2.parquet", folder / "3.parquet")
    result = evaluate(tmp_path / "examples", models["good"])
    assert not result.blessed
    assert (
        f"the eval split has {600 if change == 'gone' else '1,800'} rows, its manifest counts 1,200" in result.reasons
    )


def test_eval_files_of_different_types_are_refused_in_one_line(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    folder = toys.write_examples(tmp_path / "examples", columns) / "eval"
    pq.write_table(pa.table(columns | {"good": [str(value) for value in columns["good"]]}), folder / "2.parquet")
    with pytest.raises(UserError, match="columns of different types") as caught:
        evaluate(tmp_path / "examples", models["good"])
    assert "\n" not in str(caught.value)


def test_a_slice_gate_for_which_no_slice_has_enough_rows_is_failed(examples, models, evaluate):
    policy = "gates: [{metric: AUC, slice: origin, min: 0.1}]\nmin_slice_rows: 100000"
    result = evaluate(examples, models["good"], policy=policy)
    assert not result.blessed
    assert "no slice of origin has 100000 rows" in result.reasons


def test_a_gate_whose_metric_is_undefined_is_failed(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["good"] = columns["good"] * 0.4  # Nothing is predicted positive, so precision is 0 / 0.
    examples = toys.write_examples(tmp_path / "examples", columns)
    result = evaluate(examples, models["good"], policy="gates: [{metric: Precision, min: 0.1}]")
    assert not result.blessed
    assert result.content["metrics"]["challenger"]["precision"] is None
    assert "precision (overall): asked at least 0.1; cannot be computed for the challenger" in result.reasons


def test_auc_of_a_slice_with_one_class_is_undefined_and_not_zero(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["origin"] = ["LGA" if label else "EWR" for label in columns["y"]]
    examples = toys.write_examples(tmp_path / "examples", columns)
    result = evaluate(examples, models["good"], policy="gates: [{metric: AUC, slice: origin, min: 0.1}]")
    assert not result.blessed
    assert {entry["challenger"]["auc"] for entry in result.content["slices"]} == {None}


def test_no_eval_rows_are_a_no(tmp_path, models, evaluate):
    columns = {name: np.asarray(values)[:0] for name, values in toys.binary_columns().items()}
    columns["carrier"] = columns["carrier"].astype(str)
    columns["origin"] = columns["origin"].astype(str)
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), models["good"])
    assert (result.blessed, result.reasons) == (False, "the eval split has no rows")


def test_one_class_only_is_a_no(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    examples = toys.write_examples(tmp_path / "examples", columns | {"y": np.ones(len(columns["y"]), np.int64)})
    result = evaluate(examples, models["good"])
    assert not result.blessed
    assert "hold one class" in result.reasons


def test_a_single_nan_prediction_is_a_no(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["good"][17] = math.nan
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), models["good"])
    assert not result.blessed
    assert "1 of 1,200 predictions are NaN" in result.reasons
    assert result.content["metrics"]["challenger"] is None


def test_a_champion_that_predicts_nan_cannot_be_beaten(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["fair"][17] = math.nan
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), models["good"], champion=models["fair"])
    assert not result.blessed
    assert result.reasons.startswith("champion: 1 of 1,200")


def test_a_label_that_the_model_does_not_know_is_a_no(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["y"][3] = 7
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), models["good"])
    assert not result.blessed
    assert "1 eval rows hold a class that the model does not know" in result.reasons


def test_rows_without_a_label_are_left_out_and_counted(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["y"] = [None if i < 100 else int(label) for i, label in enumerate(columns["y"])]
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), models["good"])
    assert result.blessed
    assert (result.content["rows"], result.content["unlabelled_rows"]) == (1100, 100)


def test_labels_read_the_same_in_any_column_type(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    measured = [
        evaluate(toys.write_examples(tmp_path / name, columns | {"y": values}), models["good"]).logged["auc"]
        for name, values in (
            ("int64", columns["y"]),
            ("double", columns["y"].astype(float)),
            ("string", [str(label) for label in columns["y"]]),
        )
    ]
    assert len(set(measured)) == 1


def test_a_champion_that_cannot_be_loaded_is_reported_and_a_no(tmp_path, examples, models, evaluate):
    broken = tmp_path / "broken"
    shutil.copytree(models["fair"], broken)
    (broken / "saved_model.pb").write_bytes(b"not a graph")
    without_variables = tmp_path / "gone"
    for champion in (broken, without_variables, "gs://bucket/models/flights/3"):
        result = evaluate(examples, models["good"], champion=champion)
        assert not result.blessed
        assert "the champion cannot be measured" in result.reasons
        assert result.content["metrics"]["challenger"]["auc"] > 0.9


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": toys.REGRESSION, "classes": []}, "its task is"),
        ({"label": "other"}, "its label is"),
        ({"classes": ["1", "0"]}, "its classes is"),
        ({"features": {"gone": "numeric", "carrier": "categorical"}}, "which the examples lack"),
    ],
)
def test_a_champion_of_another_kind_is_reported_and_a_no(tmp_path, examples, models, evaluate, change, says):
    other = tmp_path / "other"
    shutil.copytree(models["fair"], other)
    manifest = json.loads((other / "manifest.json").read_text(encoding="utf-8"))
    (other / "manifest.json").write_text(json.dumps(manifest | change), encoding="utf-8")
    result = evaluate(examples, models["good"], champion=other)
    assert not result.blessed
    assert says in result.reasons


def test_a_challenger_without_the_prediction_output_is_one_line(tmp_path, examples, evaluate):
    toys.write_model(tmp_path / "model", ["good"], broken="output")
    with pytest.raises(UserError, match="no output 'prediction'"):
        evaluate(examples, tmp_path / "model")


def test_a_corrupt_eval_file_is_one_line(tmp_path, models, evaluate):
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns())
    (examples / "eval" / "2.parquet").write_bytes(b"PAR1 rubbish")
    with pytest.raises(UserError, match=r"2\.parquet: cannot be read as Parquet"):
        evaluate(examples, models["good"])


def test_multiclass_is_judged_by_accuracy_against_the_largest_class(tmp_path, evaluate):
    random = np.random.default_rng(5)
    y = random.choice(3, 600, p=[0.6, 0.3, 0.1])
    sure = np.eye(3)[y] * 0.6 + 0.4 / 3
    majority = np.tile([0.6, 0.3, 0.1], (600, 1))
    columns = {"y": np.array(["Adelie", "Chinstrap", "Gentoo"])[y], "carrier": ["UA"] * 600}
    columns |= {f"s{i}": sure[:, i] for i in range(3)} | {f"m{i}": majority[:, i] for i in range(3)}
    examples = toys.write_examples(tmp_path / "examples", columns)
    classes = ["Adelie", "Chinstrap", "Gentoo"]
    good, trivial = (
        toys.write_model(tmp_path / name, [f"{name}{i}" for i in range(3)], task=toys.MULTICLASS, classes=classes)
        for name in "sm"
    )
    result = evaluate(examples, good, champion=trivial)
    assert result.blessed
    assert result.content["metrics"]["challenger"]["sparse_categorical_accuracy"] == 1
    assert result.content["metrics"]["challenger"]["auc"] == pytest.approx(1, abs=1e-3)
    refused = evaluate(examples, trivial)
    assert not refused.blessed
    assert "the largest class' share" in refused.reasons


def test_regression_is_judged_by_rmse_against_the_labels_deviation(tmp_path, evaluate):
    random = np.random.default_rng(6)
    y = random.normal(50, 10, 500)
    columns = {"y": y, "carrier": ["UA"] * 500, "near": y + random.normal(size=500), "mean": np.full(500, y.mean())}
    examples = toys.write_examples(tmp_path / "examples", columns)
    near, mean = (
        toys.write_model(tmp_path / name, [name], task=toys.REGRESSION, classes=[]) for name in ("near", "mean")
    )
    result = evaluate(examples, near, champion=mean)
    assert result.blessed
    error = np.sqrt(np.mean((columns["near"] - y) ** 2))
    assert result.content["metrics"]["challenger"]["root_mean_squared_error"] == pytest.approx(error, rel=1e-4)
    assert not evaluate(examples, mean, champion=near).blessed
    assert "the label's standard deviation" in evaluate(examples, mean).reasons


def test_the_evaluation_folder_holds_the_page_and_tfmas_config(examples, models, evaluate):
    from google.protobuf import text_format
    from tensorflow_model_analysis.proto import config_pb2

    result = evaluate(examples, models["good"], champion=models["fair"], policy="slices: [carrier]")
    page = result.report.read_text(encoding="utf-8")
    assert page == (result.folder / "report.html").read_text(encoding="utf-8")
    assert "Blessed" in page
    assert "carrier UA" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    text = (result.folder / "eval_config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, config_pb2.EvalConfig())
    assert [spec.name for spec in config.model_specs if spec.is_baseline] == ["champion"]
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["carrier"]]


BREAKAGES = {
    "nan": lambda columns, rows: columns["good"].__setitem__(rows, math.nan),
    "infinite": lambda columns, rows: columns["good"].__setitem__(rows, math.inf),
    "above one": lambda columns, rows: columns["good"].__setitem__(rows, 1.5),
    "negative": lambda columns, rows: columns["good"].__setitem__(rows, -0.5),
    "unknown class": lambda columns, rows: columns["y"].__setitem__(rows, 2),
    "champion nan": lambda columns, rows: columns["fair"].__setitem__(rows, math.nan),
    "one class": lambda columns, rows: columns["y"].__setitem__(slice(None), 1),
    "constant": lambda columns, rows: columns["good"].__setitem__(slice(None), 0.4),
    "upside down": lambda columns, rows: columns["good"].__setitem__(slice(None), 1 - columns["good"]),
}
GATES = [
    "",
    "gates: []",
    "gates: [{metric: AUC, max_loss: 0.49}]",
    "slices: [carrier]\ngates: [{metric: AUC, better_than_trivial: true}, {metric: AUC, slice: origin, max_loss: 0.4}]",
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    breakage=st.sampled_from(sorted(BREAKAGES)),
    rows=st.lists(st.integers(0, 59), min_size=1, max_size=60, unique=True),
    policy=st.sampled_from(GATES),
    seed=st.integers(0, 5),
)
def test_broken_inputs_never_get_a_blessing(tmp_path_factory, models, evaluate, breakage, rows, policy, seed):
    columns = toys.binary_columns(60, seed)
    BREAKAGES[breakage](columns, rows)
    examples = toys.write_examples(tmp_path_factory.mktemp("broken") / "examples", columns)
    result = evaluate(examples, models["good"], champion=models["fair"], policy=policy)
    assert not result.blessed
    assert result.reasons


def test_a_champion_in_a_bucket_is_beaten_on_the_same_figures_as_one_in_a_folder(examples, models, evaluate):
    with google_storage():
        bucket = storage.Client(project=None).create_bucket(f"b{uuid.uuid4().hex}")
        uri = f"gs://{bucket.name}/models/toys/1"
        buckets.upload_tree(models["fair"], uri)
        there = evaluate(examples, models["good"], champion=uri)
        missing = evaluate(examples, models["good"], champion=f"gs://{bucket.name}/models/toys/2")
    here = evaluate(examples, models["good"], champion=models["fair"])
    assert there.blessed
    assert there.content["metrics"] == here.content["metrics"]
    assert there.content["champion_uri"] == uri
    assert not missing.blessed
    assert "no such folder" in missing.reasons


def test_held_out_rows_are_kept_with_the_models_own_predictions(examples, models, evaluate):
    result = evaluate(examples, models["good"])
    replay = json.loads((result.folder / "replay.json").read_text())
    rows = replay["instances"]
    assert len(rows) == len(replay["predictions"]) == 100
    signature = tf.saved_model.load(str(models["good"])).signatures["serving_default"]
    good = tf.constant([row["good"] for row in rows], tf.float32)
    carrier = tf.constant([row["carrier"] for row in rows])
    predicted = signature(good=good, carrier=carrier)["prediction"].numpy()
    assert predicted == pytest.approx(replay["predictions"], abs=1e-6)
