"""What float32 cannot hold, what never varies and what is mostly zero: learned as it is, or said by column."""

import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.common.written import strict_json
from mainspring.components.training import hyperparameters
from mainspring.components.training.features import labels, surveying
from mainspring.components.training.features.columns import CATEGORICAL, NUMERIC, Feature
from mainspring.components.training.features.preprocessing import Encoder, encoding, raw_columns
from mainspring.components.training.fitting import scores
from mainspring.components.training.hardware import lost_workers
from mainspring.components.training.rows import blocks, feed

ROWS = 4000


def table(**columns):
    random = np.random.default_rng(1)
    return pa.table({**columns, "y": random.integers(0, 2, len(next(iter(columns.values()))))})


def surveyed(rows):
    features = [
        Feature(name, CATEGORICAL if pa.types.is_string(rows.schema.field(name).type) else NUMERIC, False)
        for name in rows.column_names
        if name != "y"
    ]
    seen = surveying.survey([rows], features, "y", len(rows), len(rows), 1)
    learned = surveying.statistics(seen, raw_columns(rows, features))
    return features, learned, surveying.notes(seen, learned)


def test_what_never_varied_in_train_changes_nothing_and_is_named():
    x = np.random.default_rng(2).normal(size=ROWS)
    rows = table(
        x=x,
        fee=np.full(ROWS, 7.0),
        nothing=pa.nulls(ROWS, pa.float64()),
        tiny=1e-42 * (1 + x),
        sometimes=pa.array([3.0 if row % 2 else None for row in range(ROWS)]),
        town=["Ulm"] * ROWS,
    )
    features, learned, notes = surveyed(rows)
    encode = encoding(Encoder(learned))
    other = pa.table(
        {
            "x": [0.5, 0.5, 0.5],
            "fee": [7.0, 1e30, None],
            "nothing": pa.array([None, 5.0, 1e30]),
            "tiny": pa.array([1e-42, 1.0, None]),
            "sometimes": [3.0, -1e9, 3.0],
            "town": pa.array(["Ulm", "Bonn", None]),
        }
    )
    found = encode(raw_columns(other, features))
    for array in found.values():
        assert np.isfinite(array).all()
        assert (array == array[0]).all()
    absent = encode(raw_columns(other.set_column(4, "sometimes", pa.nulls(3, pa.float64())), features))
    assert (absent["numbers"] != found["numbers"]).any()
    # Train lacks no x: a missing one is an ordinary one, not something that training never saw.
    without = encode(raw_columns(other.set_column(0, "x", pa.nulls(3, pa.float64())), features))
    assert without["numbers"][0, len(learned.numeric)] == 0
    assert any("never vary in train" in note and "fee, nothing" in note and "town" in note for note in notes)
    assert any(note.startswith("tiny: its values differ by too little") for note in notes)


def test_what_float32_cannot_tell_apart_is_said_by_column_and_only_that():
    random = np.random.default_rng(3)
    step = random.integers(0, 50, ROWS)
    _, _, notes = surveyed(
        table(
            small=step,
            shop=2**24 + step,
            huge=2**53 + 1 + step,
            seconds=1_790_000_000.0 + step,
            jitter=1e9 + random.normal(size=ROWS) * 0.01,
            likely=random.random(ROWS),
            wide=random.normal(size=ROWS) * 1e30,
            beyond=np.where(step == 0, 1e300, step),
            year=2000 + step,
        )
    )
    assert {note.split(":")[0] for note in notes} == {"shop", "huge", "seconds", "jitter", "beyond"}
    said = "\n".join(notes)
    assert "of 50 different values, float32, in which models take numbers, tells 25 apart" in said
    assert f"beyond: {(step == 0).sum():,} values are beyond 3.4e+38" in said


def test_a_frequent_value_has_a_bin_of_its_own_wherever_it_lies():
    random = np.random.default_rng(4)
    others = random.lognormal(0, 2, 600)
    for sign, name in ((1, "low"), (-1, "high"), (np.where(others > 1, 1, -1), "middle")):
        values = np.concatenate([np.zeros(ROWS), others * sign]).astype(np.float32)
        edges = surveying._bin_edges(values)
        codes = np.searchsorted(edges, values, side="right")
        assert (codes[:ROWS] == codes[0]).all()
        assert (codes[ROWS:] != codes[0]).all(), name
        assert len(np.unique(codes)) >= 10
    neighbours = (2.0**24 - 20 + np.arange(40)).astype(np.float32)
    codes = np.searchsorted(surveying._bin_edges(neighbours), neighbours, side="right")
    assert len(np.unique(codes)) == len(np.unique(neighbours))


def test_a_label_far_from_zero_or_out_of_float32s_reach_is_served_as_doubles():
    for mean, deviation, doubles in (
        (1.79e9, 10.0, True),
        (1e6, 0.01, True),
        (0.0, 1e39, True),
        (0.0, 1e-40, True),
        (2000.0, 5.0, False),
        (0.0, 1e20, False),
        (3e-7, 3e-7, False),
    ):
        assert labels.LabelSpec("y", "regression", (), mean, deviation).needs_doubles is doubles, (mean, deviation)
    close = labels.LabelValues()
    close.add(pa.chunked_array([[1e17, 1e17 + 16]]))
    close.squares = 0.0
    with pytest.raises(UserError, match="differ by too little"):
        labels.describe_label("y", "double", close, "regression")


def test_class_weights_count_in_the_loss_that_chooses_the_epoch():
    binary = labels.LabelSpec("y", "binary_classification", ("0", "1"))
    outputs, targets = np.array([[0.0], [0.0], [2.0]]), np.array([0, 1, 1], np.int32)
    losses = np.logaddexp(0, outputs[:, 0]) - targets * outputs[:, 0]
    assert scores.loss_and_metric(outputs, targets, binary)[0] == pytest.approx(losses.mean())
    weighted = scores.loss_and_metric(outputs, targets, binary, [1.0, 100.0])[0]
    assert weighted == pytest.approx((losses * [1, 100, 100]).mean())
    several = labels.LabelSpec("y", "multiclass_classification", ("a", "b", "c"))
    flat = scores.loss_and_metric(np.zeros((3, 3)), np.array([0, 1, 2]), several, [1.0, 2.0, 6.0])[0]
    assert flat == pytest.approx(3 * np.log(3))
    for vanishing in (1e-7, 0, -1, 1e7):
        with pytest.raises(UserError, match="weights from 1e-06 to 1,000,000"):
            hyperparameters.checked(class_weights=json.dumps({"1": vanishing}))


@pytest.mark.parametrize(
    "text",
    [
        '{"learning_rate": 0.1, "learning_rate": 0.2}',
        '{"custom": {"a": 1, "a": 2}}',
        '{"class_weights": {"b": 1, "b": 2}}',
    ],
)
def test_a_name_given_twice_in_json_is_refused_at_any_depth(text):
    with pytest.raises(UserError, match="occurs twice; keep one of them"):
        hyperparameters.checked(text)
    assert strict_json.loads('{"a": [{"b": 1}, {"b": 2}]}', "x") == {"a": [{"b": 1}, {"b": 2}]}


def test_fewer_rows_than_a_batch_make_a_smaller_batch():
    layout = blocks.Layout(ids=1, crosses=0, numbers=0, has_float_target=False)
    packed = blocks.pack(
        {"ids": np.arange(20, dtype=np.int32)[:, None], "numbers": np.zeros((20, 0), np.float32)},
        np.zeros(20, np.int32),
    )
    held = blocks.Blocks(layout, (20,), packed, ())
    batches = list(feed.train_batches(held, 256, 2, 1))
    assert [len(targets) for _, targets in batches] == [20, 20]
    assert sorted(batches[0][0]["ids"].numpy()[:, 0].tolist()) == list(range(20))


def test_a_lost_worker_is_named_in_one_line_with_the_status_of_a_retry(monkeypatch):
    addresses = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    gone = tf.errors.UnavailableError(None, None, "Connection reset\n by /job:worker/replica:0/task:2")
    with pytest.raises(tf.errors.UnavailableError), lost_workers.as_one_line():
        raise gone
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    for error, named in (
        (gone, r"worker 2 \(10\.0\.0\.3:1\) is gone"),
        (tf.errors.AbortedError(None, None, "Collective ops is aborted by 10.0.0.2:1"), r"worker 1 \(10\.0\.0\.2:1\)"),
        (tf.errors.UnavailableError(None, None, "heartbeat timeout"), "one of worker 1, worker 2"),
    ):
        with pytest.raises(RetriableError, match=named), lost_workers.as_one_line():
            raise error
    with pytest.raises(tf.errors.InternalError), lost_workers.as_one_line():
        raise tf.errors.InternalError(None, None, "an operation of the model failed")
