"""A comparator that measures nothing is refused before anything is measured, whoever compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from flightlike import Run, changed, span, write_examples
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from mainspring.components.common.errors import UserError
from mainspring.components.statistics import comparators

MEANINGLESS = {
    "infinity_norm { threshold: 0.1 }": "measures nothing on numbers",
    "normalized_abs_difference { threshold: 0.1 }": "measures nothing on numbers",
    "": "is empty and measures nothing",
    "jensen_shannon_divergence { }": "has no threshold",
    "jensen_shannon_divergence { threshold: nan }": "has a threshold of nan",
    "jensen_shannon_divergence { threshold: -0.1 }": "has a threshold of -0.1",
    "jensen_shannon_divergence { threshold: 1.5 }": "above the largest distance",
    "jensen_shannon_divergence { threshold: inf }": "above the largest distance",
    "jensen_shannon_divergence { threshold: 0.1 } infinity_norm { threshold: 0.1 }": "measures nothing on numbers",
}


def schema(text: str) -> schema_pb2.Schema:
    return text_format.Parse(text, schema_pb2.Schema())


@pytest.mark.parametrize("which", ["drift_comparator", "skew_comparator"])
@pytest.mark.parametrize(("comparator", "words"), MEANINGLESS.items())
def test_a_comparator_that_measures_nothing_is_refused_by_its_feature(which: str, comparator: str, words: str) -> None:
    for kind in ("type: INT", "type: FLOAT", "type: INT bool_domain { }", ""):
        one = schema(f'feature {{ name: "fee" {kind} {which} {{ {comparator} }} }}')
        with pytest.raises(UserError, match=f"fee: its {which}.*{words}") as raised:
            comparators.refuse_meaningless(one, {"fee": "int64"})
        assert "\n" not in str(raised.value)
        comparators.refuse_meaningless(one, {"fee": "int64"}, exclude=["fee"])


@pytest.mark.parametrize(
    "feature",
    [
        "type: BYTES drift_comparator { infinity_norm { threshold: 0.1 } jensen_shannon_divergence { threshold: 1 } }",
        "type: INT int_domain { is_categorical: true } drift_comparator { infinity_norm { threshold: 0 } }",
        "type: INT int_domain { is_categorical: true } skew_comparator { jensen_shannon_divergence { threshold: 1 } }",
        "type: FLOAT drift_comparator { jensen_shannon_divergence { threshold: 0.1 } }",
    ],
)
def test_a_comparator_that_measures_something_is_taken(feature: str) -> None:
    comparators.refuse_meaningless(schema(f'feature {{ name: "x" {feature} }}'))


@pytest.mark.parametrize(
    "text",
    [
        'feature { name: "x" type: BYTES distribution_constraints { min_domain_mass: nan } }',
        'feature { name: "x" type: BYTES presence { min_fraction: -1 } }',
        "dataset_constraints { num_examples_drift_comparator { } }",
        "dataset_constraints { num_examples_drift_comparator { min_fraction_threshold: nan } }",
    ],
)
def test_other_limits_that_nothing_can_break_are_refused_too(text: str) -> None:
    with pytest.raises(UserError, match="schema: "):
        comparators.refuse_meaningless(schema(text))


def test_all_faults_are_one_line_and_come_before_any_output(tmp_path: Path) -> None:
    first = Run(tmp_path / "b", write_examples(tmp_path / "e", {"1": span(1)}))
    given = text_format.Parse((first.schema / "schema.pbtxt").read_text(), schema_pb2.Schema())
    for feature in given.feature:
        if feature.name in ("distance", "seats"):
            feature.drift_comparator.infinity_norm.threshold = 0.1
    path = tmp_path / "given.pbtxt"
    path.write_text(text_format.MessageToString(given))
    with pytest.raises(UserError, match=r"the given schema: distance: .*; seats: ") as raised:
        Run(tmp_path / "r", write_examples(tmp_path / "e2", {"2": span(2)}), schema_uri=str(path))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "r" / "statistics").exists()


def coded(number: int, shares: list[float]) -> pa.Table:
    codes = np.random.default_rng(number).choice([11, 12, 37], 3000, p=shares)
    return span(number).append_column("code", pa.array(codes, pa.int64()))


@pytest.mark.parametrize("measure", ["infinity_norm", "jensen_shannon_divergence"])
@pytest.mark.parametrize("counted_before", [True, False])
def test_categorical_integers_are_compared_as_categories(tmp_path: Path, measure: str, counted_before: bool) -> None:
    """Also against a baseline whose schema did not call them so yet."""
    first = Run(tmp_path / "0", write_examples(tmp_path / "e0", {"1": coded(1, [0.5, 0.3, 0.2])}))
    given = text_format.Parse((first.schema / "schema.pbtxt").read_text(), schema_pb2.Schema())
    feature = next(one for one in given.feature if one.name == "code")
    feature.int_domain.is_categorical = True
    feature.ClearField("drift_comparator")
    getattr(feature.drift_comparator, measure).threshold = 0.05
    path = tmp_path / "given.pbtxt"
    path.write_text(text_format.MessageToString(given))
    options = {"schema_uri": str(path)} if counted_before else {}
    baseline = Run(tmp_path / "b", write_examples(tmp_path / "e1", {"1": coded(1, [0.5, 0.3, 0.2])}), **options)
    (tmp_path / "b" / "schema.pbtxt").write_bytes((baseline.schema / "schema.pbtxt").read_bytes())
    asked = {"schema_uri": str(path), "baseline_uri": str(tmp_path / "b")}
    quiet = Run(tmp_path / "2", write_examples(tmp_path / "e2", {"2": coded(2, [0.5, 0.3, 0.2])}), **asked)
    assert quiet.reasons == ""
    moved = Run(tmp_path / "3", write_examples(tmp_path / "e3", {"3": coded(3, [0.1, 0.3, 0.6])}), **asked)
    assert moved.reasons.startswith("code: drifted against the baseline")
    assert '"1' in moved.reasons or '"37"' in moved.reasons, "the category that moved most is named"
    distances = {one["feature"]: one["value"] for one in moved.validation["drift"]}
    assert distances["code"] == pytest.approx(0.4 if measure == "infinity_norm" else 0.16, abs=0.04)


def test_of_two_measures_the_one_over_its_limit_is_named(tmp_path: Path) -> None:
    first = Run(tmp_path / "b", write_examples(tmp_path / "e", {"1": span(1)}))
    given = text_format.Parse((first.schema / "schema.pbtxt").read_text(), schema_pb2.Schema())
    feature = next(one for one in given.feature if one.name == "carrier")
    feature.drift_comparator.infinity_norm.threshold = 0.05
    feature.drift_comparator.jensen_shannon_divergence.threshold = 0.9
    path = tmp_path / "given.pbtxt"
    path.write_text(text_format.MessageToString(given))
    carriers = ["AA" if index % 2 else value for index, value in enumerate(span(2)["carrier"].to_pylist())]
    examples = write_examples(tmp_path / "e2", {"2": changed(span(2), carrier=carriers)})
    (tmp_path / "b" / "schema.pbtxt").write_bytes((first.schema / "schema.pbtxt").read_bytes())
    run = Run(tmp_path / "r", examples, schema_uri=str(path), baseline_uri=str(tmp_path / "b"))
    assert "carrier: drifted against the baseline (L∞ distance" in run.reasons


PRICES = [7.99, 8.99, 9.99, 19.99, 49.0]


@pytest.mark.parametrize(
    ("prices", "shift", "drifts"),
    [
        (PRICES, 0.001, False),
        (PRICES, 1e-6, False),
        ([1.99, 2.01], 0.001, False),
        ([100 * price for price in PRICES], 0.1, False),
        (PRICES, 1.5, True),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 1.0, True),
    ],
)
def test_a_price_list_drifts_by_what_its_prices_move_not_by_their_being_others(
    tmp_path: Path, prices: list[float], shift: float, drifts: bool
) -> None:
    def month(number: int, more: float) -> pa.Table:
        chosen = np.random.default_rng(number).choice(prices, 3000)
        return span(number).append_column("price", pa.array(chosen + more))

    first = Run(tmp_path / "b", write_examples(tmp_path / "e", {"1": month(1, 0.0)}))
    (tmp_path / "b" / "schema.pbtxt").write_bytes((first.schema / "schema.pbtxt").read_bytes())
    run = Run(tmp_path / "r", write_examples(tmp_path / "e2", {"2": month(2, shift)}), baseline_uri=str(tmp_path / "b"))
    assert ("price: drifted" in run.reasons) == drifts
    uri = str(tmp_path / "r" / "statistics" / "train")
    run = Run(tmp_path / "s", write_examples(tmp_path / "e3", {"1": month(1, 0.0)}), serving_statistics_uri=uri)
    assert ("price: served otherwise" in run.reasons) == drifts
