"""Labels as they are spelled: each is joined, or counted with an example; too many that do not fit, and none judges."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from logs import exchange, label, publish, record, row, write

from mainspring.components.common import manifests
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.monitoring.decide_retraining import decide
from mainspring.components.monitoring.monitor_endpoint import monitor_endpoint
from mainspring.components.monitoring.policy import Retrain

COUNT = 900
IDS = [f"id-{number}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Gives a published version whose classes, or task, are as asked."""
    known = {}

    def of(*classes, evaluation=None):
        if (key := (classes, json.dumps(evaluation))) not in known:
            folder = known[key] = publish(tmp_path_factory.mktemp("model") / "1")
            features = {"hour": "numeric", "distance": "numeric", "origin": "categorical"}
            task = "binary_classification" if classes else "regression"
            manifest = ModelManifest(task, "late", list(classes), features, {}, 1, "e", "s", "", "m", {})
            (folder / manifests.MODEL_MANIFEST).unlink()
            manifests.write(manifest, folder / manifests.MODEL_MANIFEST)
            if evaluation is not None:
                (folder / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation))
        return known[key]

    return of


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    return write(tmp_path_factory.mktemp("logs"), "a.json", [one for n in range(COUNT) for one in exchange(n)])


@pytest.fixture
def judge(tmp_path, logged, model):
    """Judges the logs by labels: columns by name, written as CSV or Parquet."""
    done = []

    def run(columns, ending="csv", version=None, logs=logged, **arguments):
        folder = tmp_path / str(len(done))
        done.append(folder)
        folder.mkdir()
        path = folder / f"labels.{ending}"
        if ending == "csv":
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
        else:
            pq.write_table(pa.table(columns), path)
        places = {name: str(folder / name) for name in ("monitoring", "report", "journal")}
        verdict = monitor_endpoint(str(logs), str(version or model("0", "1")), labels=str(path), **places, **arguments)
        return verdict, json.loads((folder / "monitoring" / "monitoring.json").read_text())

    return run


def keys(**more):
    return {"id": IDS, "row": [0] * COUNT} | more


def other(labels):
    return ["10"[int(one)] for one in labels]


def truths(classes=("0", "1")):
    return [classes[label(number)] for number in range(COUNT)]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("classes", "spelled"),
    [
        (("no", "yes"), ("no", "yes")),
        (("False", "True"), ("false", "true")),
        (("f", "t"), ("f", "t")),
        (("5", "6"), ("5.0", "6.0")),
        (("05", "5"), ("05", "5")),
        (("1e3", "null"), ("1e3", "null")),
        (("2026-01-01", "12:30"), ("2026-01-01", "12:30")),
    ],
)
def test_class_words_are_taken_as_spelled(judge, model, classes, spelled, ending):
    verdict, found = judge(keys(label=truths(spelled)), ending, model(*classes))
    assert (found["quality"]["labelled"], found["labels"]["counts"]) == (COUNT, {})
    assert found["quality"]["overall"]["live"] == pytest.approx(0.83, abs=0.03)
    assert verdict.healthy, verdict.reasons


def test_truth_values_and_numbers_of_parquet_are_classes(judge):
    for values in ([bool(label(n)) for n in range(COUNT)], [float(label(n)) for n in range(COUNT)]):
        assert judge(keys(label=values), "parquet")[1]["quality"]["labelled"] == COUNT


@pytest.mark.parametrize("spell", [lambda n: f"{n:05}", lambda n: f"12:{n % 60:02}:{n}", lambda n: f"{n}e5", str])
def test_ids_are_text(judge, tmp_path, spell):
    logs = write(tmp_path, "a.json", [one | {"id": spell(n)} for n in range(COUNT) for one in exchange(n)])
    columns = {"request": [spell(n) for n in range(COUNT)], "row": [0] * COUNT, "label": truths()}
    _, found = judge(columns, logs=logs, labels_query='SELECT request AS id, "row", label FROM source')
    assert found["quality"]["labelled"] == COUNT
    _, found = judge({"id": columns.pop("request")} | columns, logs=logs)
    assert found["quality"]["labelled"] == COUNT


@pytest.mark.parametrize(
    ("change", "words", "kind"),
    [
        (lambda c: c | {"label": ["maybe"] * 90 + c["label"][90:]}, "'maybe'", "of no class"),
        (lambda c: c | {"id": [i.upper() for i in IDS[:90]] + IDS[90:]}, "where a request has id-",
         "with another spelling of an id"),
        (lambda c: {"id": IDS + IDS[:90], "row": ["0"] * 990, "label": c["label"] + other(c["label"][:90])},
         "contradict", "contradicting"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_counted_and_too_many_of_them_judge_nothing(judge, change, words, kind):
    columns = change({"id": IDS, "row": ["0"] * COUNT, "label": truths()})
    verdict, found = judge(columns)
    assert not verdict.healthy
    assert verdict.reasons.startswith("quality is not judged: ")
    assert words in verdict.reasons
    assert found["labels"]["counts"][kind] == (180 if kind == "contradicting" else 90)
    assert found["quality"]["judged"] is False
    assert decide(found, [], Retrain(min_requests=0))[0] is False
    allowed, _ = judge(columns, policy="limits: {max_bad_label_share: 0.5}")
    assert allowed.healthy, allowed.reasons


def test_labels_without_a_row_are_said_and_too_few_with_one_judge_nothing(judge):
    strays = {"id": [*IDS, *(f"old-{n}" for n in range(2000))], "row": [0] * 2900, "label": truths() + ["1"] * 2000}
    verdict, found = judge(strays)
    assert verdict.healthy, verdict.reasons  # The file holds other days' labels too.
    assert any("2,000 of 2,900 labels have no row" in one["sentence"] for one in found["findings"])
    assert not judge(strays, policy="limits: {max_unjoined_label_share: 0.1}")[0].healthy
    verdict, found = judge(keys(label=truths()) | {"id": [f"other {n}" for n in range(COUNT)]})
    assert "900 of 900 labels have no row" in verdict.reasons
    assert "such as: id other 0, row 0" in verdict.reasons


def test_a_label_of_several_rows_is_of_none(judge, tmp_path):
    logs = []
    for number in range(300):
        rows = [row(3 * number + place) for place in range(3)]
        logs.append(record(f"q{number}", "request", {"instances": rows}))
        logs.append(record(f"q{number}", "response", {"predictions": [one["hour"] / 24 for one in rows]}))
    path = write(tmp_path, "a.json", logs)
    columns = {"id": [f"q{n}" for n in range(300)], "label": truths()[:300]}
    verdict, found = judge(columns, logs=path, label_key=["id"])
    assert "300 of 300 labels join several rows of a window" in verdict.reasons
    assert "which has 3 rows" in verdict.reasons
    assert found["quality"] is None


def test_one_class_and_one_positive_could_not_be_judged(judge):
    verdict, _ = judge(keys(label=["0"] * COUNT))
    assert verdict.reasons == "quality could not be judged in this window: all 900 labels are 0"
    verdict, _ = judge(keys(label=["1", *["0"] * (COUNT - 1)]))
    assert "only 1 of 900 labels is not 0" in verdict.reasons
    lone = ["0" if n % 3 == 1 and n > 1 else one for n, one in enumerate(truths())]
    for metric in ("auc", "binary_accuracy"):
        policy = (
            f"quality: {{metric: {metric}, slices: [origin], min_slice_rows: 100, max_loss: 1, max_slice_loss: 0.01}}"
        )
        _, found = judge(keys(label=lone), policy=policy)
        (jfk,) = [one for one in found["quality"]["slices"] if one["slice"] == {"origin": "JFK"}]
        assert (jfk["alarm"], "labels are" in jfk["unjudged"] or "of 300 labels" in jfk["unjudged"]) == (False, True)


def test_a_metric_that_evaluation_did_not_measure_is_not_judged(judge):
    verdict, _ = judge(keys(label=truths()), policy="quality: {metric: binary_accuracy}")
    assert "evaluation did not measure this metric" in verdict.reasons


@pytest.mark.parametrize("unit", [3e-7, 1.0, 1.79e9])
def test_limits_are_relative_where_the_metric_has_the_labels_unit(judge, model, tmp_path, unit):
    evaluation = {"metrics": {"challenger": {"root_mean_squared_error": 0.1 * unit}}, "slices": []}
    version = model(evaluation=evaluation)
    for size, healthy in ((0.1, True), (0.15, False)):
        errors = [size * unit * (1 if n % 2 else -1) for n in range(COUNT)]
        logs = [one for n in range(COUNT) for one in exchange(n, score=unit * (n % 7) + errors[n])]
        path = write(tmp_path / f"{size}", "a.json", logs)
        verdict, _ = judge(keys(label=[unit * (n % 7) for n in range(COUNT)]), "parquet", version, path)
        assert verdict.healthy == healthy, verdict.reasons


def test_labels_of_no_number_are_counted_for_regression(judge, model):
    version = model(evaluation={"metrics": {"challenger": {"root_mean_squared_error": 9.0}}})
    values = [repr(n / 7) for n in range(COUNT - 20)] + ["inf", "nan", "n/a", "1,5"] * 5
    _, found = judge(keys(label=values), version=version)
    assert found["labels"]["counts"] == {"of no class": 20}
    assert any("are no numbers" in one["sentence"] for one in found["findings"])
