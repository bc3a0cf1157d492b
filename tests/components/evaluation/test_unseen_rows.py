"""The champion is compared on rows that it was not trained on, or it is said that it cannot be."""

import json
import shutil

import pytest
import toys

FRACTION = {"by": "source rows", "eval_fraction": 0.2, "hash": "1"}
OTHERWISE = FRACTION | {"eval_fraction": 0.3}
CUT = {"by": "time", "column": "day", "cut": 10}
FILES = {"uri": "data/{SPAN}.csv", "files": [{"uri": "data/1.csv", "generation": "1"}]}


@pytest.fixture
def dealt(tmp_path, models):
    """Returns examples and a champion, each with what its manifest says of the rows' sides, and its spans."""

    def make(now, then, spans=("1", "2"), source=FILES):
        folder = toys.write_examples(tmp_path / "examples", toys.binary_columns())
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"split": now, "source": FILES}))
        champion = shutil.copytree(models["fair"], tmp_path / "champion")
        served = manifest | {"split": then, "source": source, "spans": list(spans), "fingerprint": "sha256:others"}
        (champion / "examples.json").write_text(json.dumps(served))
        return folder, champion

    return make


@pytest.mark.parametrize(
    ("now", "then", "spans", "source"),
    [
        (FRACTION, FRACTION, ("1", "2"), FILES),
        (OTHERWISE, FRACTION, ("3",), FILES),
        (OTHERWISE, FRACTION, ("1", "2"), {"uri": "others.csv", "files": []}),
        (CUT | {"cut": 11}, CUT, ("1", "2"), FILES),
        (FRACTION, {}, ("1", "2"), FILES),
    ],
)
def test_rows_that_the_champion_was_not_trained_on_are_all_judged(now, then, spans, source, dealt, models, evaluate):
    examples, champion = dealt(now, then, spans, source)
    result = evaluate(examples, models["good"], champion=champion)
    assert result.blessed
    assert result.content["rows"] == 1200


def test_a_champion_that_does_not_say_how_its_rows_were_dealt_is_compared_and_that_is_said(dealt, models, evaluate):
    examples, champion = dealt(FRACTION, {})
    result = evaluate(examples, models["good"], champion=champion)
    assert result.content["notes"] == [
        "the champion does not say how its rows were dealt, so it may know some of these by heart"
    ]


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (OTHERWISE, FRACTION),
        (FRACTION | {"hash": "2"}, FRACTION),
        ({"by": "columns", "eval_fraction": 0.2, "columns": ["tailnum"]}, FRACTION),
        (CUT | {"cut": 9}, CUT),
        (CUT, FRACTION),
    ],
)
def test_spans_that_were_dealt_otherwise_are_left_out(now, then, dealt, models, evaluate):
    examples, champion = dealt(now, then, spans=("1",))
    result = evaluate(examples, models["good"], champion=champion)
    assert result.blessed
    assert result.content["rows"] == 600
    assert any("spans 1 are left out" in note for note in result.content["notes"])


def test_with_no_other_span_the_champion_cannot_be_compared(dealt, models, evaluate, rebaseline):
    examples, champion = dealt(OTHERWISE, FRACTION)
    refused = evaluate(examples, models["good"], champion=champion)
    assert not refused.blessed
    assert "trained on rows that are eval rows now" in refused.reasons
    assert "eval_fraction 0.2" in refused.reasons
    assert "on_broken_champion=rebaseline" in refused.reasons
    assert rebaseline(examples, models["good"], champion=champion).blessed
