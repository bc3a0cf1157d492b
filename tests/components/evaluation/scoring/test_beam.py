"""Predictions by a Beam runner: the same rows, the same numbers, the same verdict."""

import numpy as np
import pytest
import toys

from mainspring.components.common.errors import UserError
from mainspring.components.evaluation.scoring import beam_scoring, scoring
from mainspring.components.evaluation.slices import slice_columns

DIRECT = ["--runner=DirectRunner"]
SAME = ("blessed", "reasons", "metrics", "intervals", "slices", "gates", "worst_slices", "unlabelled_rows", "rows")


def test_the_verdict_is_the_same_whoever_predicted(tmp_path, models, evaluate):
    columns = toys.binary_columns()
    columns["y"] = [None if i < 50 else int(label) for i, label in enumerate(columns["y"])]
    columns["carrier"][1000:] = ["only here"] * 200  # A value that one file alone has.
    examples = toys.write_examples(tmp_path / "examples", columns, files=3)
    policy = "slices: [carrier, [carrier, origin]]\nmin_slice_rows: 50\nbuckets: {fair: 3}"
    here = evaluate(examples, models["good"], models["fair"], policy)
    there = evaluate(examples, models["good"], models["fair"], policy, beam_options=DIRECT)
    assert here.blessed
    assert {key: there.content[key] for key in SAME} == {key: here.content[key] for key in SAME}


def test_queries_keep_their_rows_when_parts_are_joined():
    def part(queries, labels):
        predictions = {"challenger": np.arange(len(labels), dtype=np.float32)}
        column = slice_columns.SliceColumn(np.zeros(len(labels), np.uint8), ["UA", None])
        return scoring.ScoredRows(np.array(labels, float), predictions, {"carrier": column}, 0, 1.0, queries)

    joined = beam_scoring.joined([part(("a", "b"), [[1, 0], [2, 1]]), part(("b", "c"), [[3, 0], [4, 1]])])
    assert joined.queries == ("a", "b", "c")
    assert joined.labels.tolist() == [[1, 0], [2, 1], [3, 1], [4, 2]]


@pytest.mark.parametrize(("options", "says"), [(["--runner=NoSuchRunner"], "beam_options: the Beam runner failed")])
def test_a_runner_that_is_not_there_is_one_line(tmp_path, models, evaluate, options, says):
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns(100))
    with pytest.raises(UserError, match=says):
        evaluate(examples, models["good"], beam_options=options)


def test_a_corrupt_file_is_named_by_the_worker_too(tmp_path, models, evaluate):
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns(100))
    (examples / "eval" / "2.parquet").write_bytes(b"PAR1 rubbish")
    with pytest.raises(UserError, match=r"2\.parquet: cannot be read as Parquet"):
        evaluate(examples, models["good"], policy="worst_slices: 0", beam_options=DIRECT)
