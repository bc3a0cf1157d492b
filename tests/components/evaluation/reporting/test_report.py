"""The report in a real browser, and what KFP draws."""

import json
import re
import shutil

import numpy as np
import pytest
import toys
from browser import opened


class Drawings:
    """KFP's ClassificationMetrics artifact, as far as components use it."""

    def log_roc_curve(self, fpr, tpr, threshold):
        self.roc = (fpr, tpr, threshold)

    def log_confusion_matrix(self, categories, matrix):
        self.confusion = (categories, matrix)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return toys.write_examples(tmp_path_factory.mktemp("examples") / "artifact", toys.binary_columns())


def test_kfp_gets_the_roc_curve_and_the_confusion_matrix(examples, models, evaluate):
    drawings, columns = Drawings(), toys.binary_columns()
    evaluate(examples, models["fair"], classification_metrics=drawings)
    fpr, tpr, threshold = drawings.roc
    at = threshold.index(0.5)
    positive = np.asarray(columns["fair"]) > 0.5
    assert tpr[at] == pytest.approx(positive[columns["y"] == 1].mean(), abs=1e-3)
    assert fpr[at] == pytest.approx(positive[columns["y"] == 0].mean(), abs=1e-3)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    expected = [[int(((columns["y"] == y) & (positive == p)).sum()) for p in (0, 1)] for y in (0, 1)]
    assert drawings.confusion == (["0", "1"], expected)
    json.dumps([drawings.roc, drawings.confusion], allow_nan=False)


def test_the_report_opens_in_a_browser_and_its_slices_sort(tmp_path, examples, models, evaluate):
    result = evaluate(examples, models["good"], models["fair"], "slices: [carrier, [carrier, origin]]")
    html = result.report.read_text(encoding="utf-8")
    # The page clicks its own heading, and says in its title what a reader would then see.
    script = """<script>window.addEventListener("load", function () {
      var table = document.querySelector("table.sortable"); table.querySelectorAll("th")[1].click();
      document.title = Array.from(table.tBodies[0].rows).map(function (row) { return row.cells[1].innerText; }).join();
    });</script>"""
    page = tmp_path / "page.html"
    page.write_text(html.replace("</body>", f"{script}</body>"), encoding="utf-8")
    dom = opened(page, tmp_path / "profile")
    rows = [int(text) for text in re.search("<title>(.*?)</title>", dom)[1].split(",")]
    assert len(rows) == 9
    assert rows == sorted(rows)
    assert rows != [entry["rows"] for entry in result.content["slices"]]
    headings = re.findall("<h[23]>(.*?)</h[23]>", dom)
    assert {"Verdict", "Gates", "Metrics", "ROC", "Precision and recall", "Worst slices"} <= set(headings)
    assert "Confusion matrix (challenger)" in headings
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)


def test_the_model_card_is_filled_from_the_manifests(examples, models, evaluate):
    folder = evaluate(examples, models["good"], policy="slices: [carrier]").folder
    card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
    assert card["model_details"]["version"] == {"name": "sha256:good"}
    assert "sha256:rows" in card["model_parameters"]["data"][0]["description"]
    metrics = card["quantitative_analysis"]["performance_metrics"]
    assert {"overall", "carrier UA"} <= {metric["slice"] for metric in metrics}
    auc = next(metric for metric in metrics if metric["type"] == "auc")
    assert float(auc["confidence_interval"]["lower_bound"]) < float(auc["value"])
    counted = next(metric for metric in metrics if metric["type"] == "example_count")
    assert "confidence_interval" not in counted
    page = (folder / "model_card.html").read_text(encoding="utf-8")
    assert "a person has to say it" in page


@pytest.fixture
def published(tmp_path, examples, models, evaluate):
    """A model's two versions with their evaluations; the newer one is the champion."""
    root = tmp_path / "models" / "flights"
    for number, name in ((1, "bad"), (2, "fair")):
        shutil.copytree(models[name], root / str(number))
        shutil.copytree(evaluate(examples, models[name]).folder, root / str(number) / "evaluation")
        manifest = {"version": number, "created": f"2026-0{number}-01T00:00:00+00:00"}
        (root / str(number) / "version.json").write_text(json.dumps(manifest), encoding="utf-8")
    return root


def test_the_report_shows_the_metrics_over_the_versions(published, tmp_path, models, evaluate):
    later = toys.write_examples(tmp_path / "later", toys.binary_columns(seed=9))
    (published / "3").mkdir()  # One that was never finished.
    result = evaluate(later, models["good"], published / "2")
    before = result.content["versions_before"]
    assert [(each["version"], each["is_champion"], each["rows"]) for each in before] == [
        (1, False, 1200),
        (2, True, 1200),
    ]
    then, now = before[1]["metrics"]["auc"], result.content["metrics"]["champion"]["auc"]
    assert then != now
    section = result.report.read_text(encoding="utf-8").split("Metrics over versions")[1]
    assert "champion, then and on today" in section
    for value in (before[0]["metrics"]["auc"], then, now):
        assert f"{value:.4g}" in section


def test_the_ml_test_score_claims_only_what_this_run_did(published, examples, models, evaluate):
    bare = json.loads((evaluate(examples, models["good"]).folder / "ml_test_score.json").read_text(encoding="utf-8"))
    assert len(bare["tests"]) == 28
    done = {test["test"]: test["passed"] for test in bare["tests"] if test["automated"]}
    assert done == {
        "A simpler model is not better": True,
        "Model quality is validated before serving": True,
        "Models are numerically stable": True,
    }
    assert bare["score"] == 0  # No test of the data is done here.
    asked = (
        "gates: [{metric: AUC, better_than_trivial: true, max_loss: 0}, {metric: AUC, slice: carrier, min: 0.999}, "
        "{metric: AUC, slice: carrier, max_gap: 0.5}, {metric: model_megabytes, max_relative_loss: 1}]"
    )
    folder = evaluate(examples, models["good"], published / "2", asked).folder
    full = json.loads((folder / "ml_test_score.json").read_text(encoding="utf-8"))
    done = {test["test"]: test["passed"] for test in full["tests"] if test["automated"]}
    assert done["The impact of model staleness is known"]
    assert done["The model is tested for considerations of inclusion"]
    assert done["Computing performance has not regressed"]
    assert not done["Model quality is sufficient on important data slices"]
    assert not done["Model quality is validated before serving"]
    assert "of 28 tests automated" in (folder / "ml_test_score.html").read_text(encoding="utf-8")


def test_a_schema_that_does_not_name_a_feature_is_no_schema_of_the_model(tmp_path, examples, models, evaluate):
    for text, passed in (
        ('feature { name: "good" } feature { name: "carrier" }', True),
        ('feature { name: "good" }', False),
    ):
        model = tmp_path / f"model-{passed}"
        shutil.copytree(models["good"], model)
        (model / "schema.pbtxt").write_text(text, encoding="utf-8")
        folder = evaluate(examples, model).folder
        score = json.loads((folder / "ml_test_score.json").read_text(encoding="utf-8"))
        (schema,) = [test for test in score["tests"] if "schema" in test["test"]]
        assert (schema["automated"], schema["passed"]) == (True, passed)
        assert score["points"]["Data"] == passed
