"""The threshold of two classes: chosen on held-out rows of train, given, or refused; and served as it was chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from samples import Trained, table_of, write_examples

from mainspring.components.common.errors import UserError
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.fitting import threshold
from mainspring.components.training.fitting.threshold import chosen
from mainspring.components.training.fitting.threshold_rule import checked_rule

Train = Callable[..., Trained]
LABEL = LabelSpec("bad", "binary_classification", ("no", "yes"))


def _held_out(rows: int, share: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    positive = (random.random(rows) < share).astype(np.int32)
    return np.round(random.normal(size=rows) + 2 * positive - 4, 1), positive  # Rounded: many ties.


def _worths(logits: np.ndarray, positive: np.ndarray, worth: Callable[..., float]) -> dict[float, float]:
    """Returns what every possible border is worth, by counting."""
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    found = {}
    for border in np.unique(scores)[1:]:
        taken = scores >= border
        counts = [int((taken & (positive == 1)).sum()), int((taken & (positive == 0)).sum())]
        counts += [int((~taken & (positive == 1)).sum()), int((~taken & (positive == 0)).sum())]
        found[float(border)] = worth(*counts)
    return found


@pytest.mark.parametrize("share", [0.04, 0.95])
def test_f1_is_that_of_the_rarer_class_and_the_best_of_all_borders(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threshold, "COUNTED", 0)
    logits, positive = _held_out(2_000, share)

    def f1(tp: int, fp: int, fn: int, tn: int) -> float:
        hits = tp if share < 0.5 else tn
        return 2 * hits / (2 * hits + fp + fn)

    worths = _worths(logits, positive, f1)
    found = chosen(checked_rule("f1", ""), logits, positive, LABEL)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    above = min(border for border in worths if border >= found.value)
    assert worths[above] == max(worths.values())
    assert found.value not in scores, "a border lies between two scores"
    assert ("'yes'" if share < 0.5 else "'no'") in found.by


def test_the_border_of_a_cost_is_where_errors_cost_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "COUNTED", 0)
    logits, positive = _held_out(2_000, 0.3)
    found = {}
    for dear in (1.0, 30.0):
        rule = checked_rule("", {"false_negative": dear})
        found[dear] = chosen(rule, logits, positive, LABEL)
        worths = _worths(logits, positive, lambda tp, fp, fn, tn, dear=dear: -(fp + dear * fn))
        above = min(border for border in worths if border >= found[dear].value)
        assert worths[above] == max(worths.values())
    assert found[30.0].value < found[1.0].value, "the dearer a missed row, the more rows are named"


@pytest.mark.parametrize("seed", range(5))
def test_a_few_rows_of_a_class_give_a_threshold_that_is_good_on_others(seed: int) -> None:
    logits, positive = _held_out(1_000, 0.03, seed)
    found = chosen(checked_rule("f1", ""), logits, positive, LABEL)
    worths = _worths(*_held_out(50_000, 0.03, 99), lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn))
    reached = worths[min(border for border in worths if border >= found.value)]
    assert reached > 0.9 * max(worths.values())


def test_too_few_rows_of_a_class_choose_nothing() -> None:
    found = chosen(checked_rule("f1", ""), np.arange(10.0), np.eye(10)[0], LABEL)
    assert found.value == 0.5
    assert "1 of 10 held-out rows of train are of 'yes', too few" in found.by


@pytest.mark.parametrize(
    ("given", "cost", "words"),
    [
        ("f2", "", "threshold: 'f2' is neither f1 nor a number"),
        (1.0, "", "above 0 and below 1"),
        (True, "", "above 0 and below 1"),
        ("nan", "", "above 0 and below 1"),
        ("0.3", '{"false_negative": 2}', "both say"),
        ("", "{", "cost: not JSON"),
        ("", "[]", "no JSON object"),
        ("", '{"false_negativ": 2}', "did you mean 'false_negative'"),
        ("", '{"false_negative": 2, "false_negative": 3}', "occurs twice"),
        ("", {"false_negative": 0}, "above 0"),
        ("", {"false_negative": float("inf")}, "above 0"),
    ],
)
def test_what_is_no_threshold_and_no_cost_is_refused(given: Any, cost: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        checked_rule(given, cost)


def _rare(rows: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))
    bad = random.random(rows) < 1 / (1 + np.exp(-(1.5 * a + b - 5.2)))
    return table_of(
        a=("double", a.tolist()), b=("double", b.tolist()), bad=("string", np.where(bad, "yes", "no").tolist())
    )


@pytest.fixture(scope="module")
def rare_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("rare") / "examples", _rare(6_000, 1), _rare(3_000, 2))


@pytest.mark.parametrize(
    ("parameters", "by"),
    [
        ({"model_kind": "trees"}, "F1 of 'yes' on"),
        ({"model_kind": "linear"}, "F1 of 'yes' on"),
        ({"model_kind": "network"}, "F1 of 'yes' on"),
        ({"model_kind": "trees", "cost": '{"false_negative": 60}'}, "cost (1 for a false positive and 60"),
        ({"model_kind": "trees", "threshold": 0.2}, "given"),
    ],
)
def test_the_served_label_follows_the_threshold_of_the_manifest(
    train: Train, rare_examples: Path, parameters: dict[str, Any], by: str
) -> None:
    trained = train(rare_examples, label="bad", **parameters)
    value = trained.manifest["threshold"]
    assert by in trained.manifest["threshold_by"]
    assert 0 < value < 0.5
    assert f"yes from {value:.4g} on" in trained.report
    rows = _rare(3_000, 2).to_pydict()
    answer = tf.saved_model.load(str(trained.folder)).signatures["serving_default"](
        a=tf.constant(rows["a"], tf.float32), b=tf.constant(rows["b"], tf.float32)
    )
    named = answer["label"].numpy() == b"yes"
    np.testing.assert_array_equal(named, answer["prediction"].numpy() >= np.float32(value))
    recall = named[np.array(rows["bad"]) == "yes"].mean()
    assert recall > (0.7 if "cost" in parameters else 0.2), "one half would find next to none"


def test_classes_that_are_common_need_no_held_out_rows(binary: Trained) -> None:
    assert (binary.manifest["threshold"], binary.manifest["threshold_by"]) == (0.5, "one half")


def test_a_threshold_is_refused_where_there_are_not_two_classes(train: Train, rare_examples: Path) -> None:
    with pytest.raises(UserError, match="threshold, cost: they are for a label of two classes"):
        train(rare_examples, label="a", threshold=0.3)
