"""Multi-label classification and ranking: models that a team trains itself are judged like any other."""

import numpy as np
import pyarrow as pa
import pytest
import toys

from mainspring.components.common.errors import UserError

TAGS = ["late", "full", "long"]


def multilabel_columns(rows=600, separator="|"):
    random = np.random.default_rng(11)
    tags = random.integers(0, 2, (rows, 3))
    named = [[TAGS[i] for i in np.flatnonzero(row)] for row in tags]
    y = pa.array(named, pa.list_(pa.string())) if separator is None else [separator.join(row) for row in named]
    columns = {"y": y, "carrier": [["UA", "AA"][i] for i in random.integers(0, 2, rows)]}
    for name, strength in (("good", 4.0), ("fair", 1.5), ("bad", 0.0)):
        scores = 1 / (1 + np.exp(-(strength * (tags - 0.5) + random.normal(size=(rows, 3)))))
        columns |= {f"{name}{i}": scores[:, i] for i in range(3)}
    return columns


@pytest.fixture(scope="module")
def tagging(tmp_path_factory):
    root = tmp_path_factory.mktemp("tagging")
    return {
        name: toys.write_model(root / name, [f"{name}{i}" for i in range(3)], task=toys.MULTILABEL, classes=TAGS)
        for name in ("good", "fair", "bad")
    }


@pytest.mark.parametrize("separator", ["|", None])
def test_a_better_tagger_is_blessed_and_a_worse_one_refused(tmp_path, tagging, evaluate, separator):
    examples = toys.write_examples(tmp_path / "examples", multilabel_columns(separator=separator))
    better = evaluate(examples, tagging["good"], tagging["fair"], "slices: [carrier]")
    assert better.blessed, better.reasons
    assert better.content["metrics"]["challenger"]["auc"] > 0.9
    assert better.content["rows"] == 600  # A row without any class is labelled.
    assert not evaluate(examples, tagging["fair"], tagging["good"]).blessed
    assert "fails by" in evaluate(examples, tagging["bad"], policy="gates: [{metric: AUC, min: 0.6}]").reasons
    golden = "behaviour: [{golden: [{inputs: {good0: 0.9, good1: 0.1, good2: 0.8}, expect: [late, long]}]}]"
    assert evaluate(examples, tagging["good"], policy=golden).blessed


def test_a_tag_that_the_model_does_not_know_is_a_no(tmp_path, tagging, evaluate):
    columns = multilabel_columns()
    columns["y"][3] = "late|early"
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), tagging["good"])
    assert result.reasons == "label y: 1 eval rows hold a class that the model does not know (late, full, long)"


def ranking_columns(rows=900):
    random = np.random.default_rng(12)
    y = random.integers(0, 4, rows)
    columns = {"y": y, "search": [f"q{i}" for i in random.integers(0, 90, rows)], "carrier": ["UA"] * rows}
    return columns | {name: y * strength + random.normal(size=rows) for name, strength in RANKERS.items()}


RANKERS = {"good": 3.0, "fair": 1.0, "bad": 0.0}


@pytest.fixture(scope="module")
def rankers(tmp_path_factory):
    root = tmp_path_factory.mktemp("ranking")
    return {
        name: toys.write_model(root / name, [name], task=toys.RANKING, classes=[], query="search") for name in RANKERS
    }


def test_a_better_ranker_is_blessed_and_a_worse_one_refused(tmp_path, rankers, evaluate):
    examples = toys.write_examples(tmp_path / "examples", ranking_columns())
    better = evaluate(examples, rankers["good"], rankers["fair"])
    assert better.blessed, better.reasons
    assert better.content["metrics"]["challenger"]["ndcg"] > better.content["metrics"]["champion"]["ndcg"] > 0.5
    interval = better.content["intervals"]["challenger"]["ndcg"]
    assert interval["low"] < better.content["metrics"]["challenger"]["ndcg"] < interval["high"]
    worse = evaluate(examples, rankers["fair"], rankers["good"])
    assert not worse.blessed
    assert "beyond noise" in worse.reasons


def test_a_ranker_no_better_than_a_random_order_is_refused(tmp_path, rankers, evaluate):
    columns = ranking_columns()
    examples = toys.write_examples(tmp_path / "examples", columns | {"bad": -columns["y"].astype(float)})
    result = evaluate(examples, rankers["bad"])
    assert not result.blessed
    assert "a random order" in result.reasons


def test_queries_of_one_row_each_cannot_be_judged(tmp_path, rankers, evaluate):
    columns = ranking_columns()
    examples = toys.write_examples(tmp_path / "examples", columns | {"search": [f"q{i}" for i in range(900)]})
    result = evaluate(examples, rankers["good"])
    assert not result.blessed
    assert "each has one eval row only" in result.reasons


def test_a_ranker_without_its_query_is_one_line(tmp_path, evaluate):
    examples = toys.write_examples(tmp_path / "examples", ranking_columns())
    model = toys.write_model(tmp_path / "model", ["good"], task=toys.RANKING, classes=[])
    with pytest.raises(UserError, match="ranking needs `query`"):
        evaluate(examples, model)


def linear_columns(rows=2000, seed=1):
    random = np.random.default_rng(seed)
    x, carrier = random.normal(size=rows), random.integers(0, 3, rows)
    truth = 1 / (1 + np.exp(-(1.5 * x + np.array([-1.0, 0.0, 1.0])[carrier])))
    columns = {
        "y": (random.random(rows) < truth).astype(int),
        "x": x,
        "carrier": [["UA", "AA", "B6"][i] for i in carrier],
    }
    return columns | {"sharp": truth, "blunt": 1 / (1 + np.exp(-x))}


@pytest.mark.parametrize("task", [toys.BINARY, toys.REGRESSION])
def test_a_model_that_a_linear_one_beats_is_refused(tmp_path, evaluate, task):
    columns = linear_columns()
    classes = ["0", "1"] if task == toys.BINARY else []
    metric = "AUC" if task == toys.BINARY else "RootMeanSquaredError"
    policy = f"gates: [{{metric: {metric}, better_than_linear: true}}]\nworst_slices: 0"
    # The linear model sees the model's own feature and the carrier; the model, its feature alone.
    blunt = toys.write_model(tmp_path / "blunt", ["blunt"], task=task, classes=classes)
    examples = toys.write_examples(tmp_path / "examples", columns)
    refused = evaluate(examples, blunt, policy=policy)
    assert not refused.blessed
    assert "asked better than a linear model of the same features" in refused.reasons


def test_a_model_that_bends_where_a_linear_one_cannot_is_blessed(tmp_path, evaluate):
    steep = np.random.default_rng(2).uniform(-5, 5, 2000)
    columns = {"y": np.clip(steep, 0, 1) + 0.01 * np.sin(9 * steep), "carrier": ["UA"] * 2000, "steep": steep}
    model = toys.write_model(tmp_path / "model", ["steep"], task=toys.REGRESSION, classes=[], clipped=True)
    policy = "gates: [{metric: RootMeanSquaredError, better_than_linear: true}]\nworst_slices: 0"
    result = evaluate(toys.write_examples(tmp_path / "examples", columns), model, policy=policy)
    assert result.blessed, result.reasons
    (gate,) = result.content["gates"]
    assert gate["kind"] == "linear"
    assert "a linear model of the same features" in gate["says"]
    assert "Linear model" in result.report.read_text(encoding="utf-8")


def test_a_gain_must_be_there_beyond_noise(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    examples = toys.write_examples(tmp_path / "examples", columns)
    asked = "gates: [{metric: AUC, min: 0.5, min_gain: %s}]"
    assert evaluate(examples, models["good"], models["fair"], asked % 0.05).blessed
    assert not evaluate(examples, models["good"], models["fair"], asked % 0.4).blessed
    assert not evaluate(examples, models["good"], models["good"], asked % 0).blessed
    close = columns | {"good": np.clip(columns["fair"] + 1e-3 * (2 * columns["y"] - 1), 0, 1)}
    examples = toys.write_examples(tmp_path / "close", close)
    assert evaluate(
        examples, models["good"], policy=asked % 0.4
    ).blessed  # Without a champion, there is no gain to ask.
