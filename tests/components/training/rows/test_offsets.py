"""Quantities far from zero: what is subtracted of them, and that neighbours stay apart from training to the answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from samples import Trained, table_of, write_examples

from mainspring.components.training.rows.offsets import _offset
from mainspring.components.training.rows.preparing import open_examples

Train = Callable[..., Trained]
MIDNIGHT = 1_790_000_000


@pytest.mark.parametrize(
    ("low", "high", "is_integer"),
    [
        (MIDNIGHT, MIDNIGHT + 86_400, True),
        (-MIDNIGHT - 60, -MIDNIGHT, True),
        (2**62, 2**62 + 1_000, True),
        (1e6, 1e6 + 1, False),
        (2**40, 2**40, True),
        (1e30, 1e30, False),
    ],
)
def test_what_is_left_of_a_number_far_from_zero_is_small_and_exact(low: float, high: float, is_integer: bool) -> None:
    offset = _offset([low, high], is_integer)
    left = [int(low) - int(offset), int(high) - int(offset)] if is_integer else [low - offset, high - offset]
    assert max(map(abs, left)) <= 2 * (high - low) + (0 if high > low else abs(low) * 1e-15)
    assert left[1] - left[0] == high - low
    assert not is_integer or offset == int(offset)


@pytest.mark.parametrize(
    ("low", "high", "is_integer"),
    [
        (0, 2**24, True),
        (1, 10**12, True),
        (0.0, 1.0, False),
        (1e6, 2e6, False),
        (0, 0, True),
        (-(2**63), 2**63 - 1, True),
    ],
)
def test_nothing_is_subtracted_where_that_would_not_help(low: float, high: float, is_integer: bool) -> None:
    assert _offset([low, high], is_integer) == 0


def test_the_next_days_have_the_same_offset_mostly() -> None:
    days = [_offset([MIDNIGHT, MIDNIGHT + 86_400 * (30 + day)], True) for day in range(30)]
    assert len(set(days)) <= 3, "else no training could start from the last one's weights"


def _moments(rows: int, seed: int) -> pa.Table:
    """Returns events by the second: what matters is whether the second is even, within a minute of a minute's."""
    random = np.random.default_rng(seed)
    second = MIDNIGHT + random.integers(0, 40, rows)
    price = 1e6 + random.integers(0, 40, rows) / 4096
    high = (second % 2) + (price * 4096 % 2 > 0)
    return table_of(
        at=("int64", second.tolist()), price=("double", price.tolist()), high=("double", high.astype(float).tolist())
    )


@pytest.mark.parametrize("kind", ["network", "trees"])
def test_neighbouring_seconds_are_told_apart_by_both_signatures(
    train: Train, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = write_examples(tmp_path / "examples", _moments(4_000, 1), _moments(400, 2))
    assert all(feature.offset for feature in open_examples(examples, examples, "high", ()).features)
    trained = train(examples, label="high", task="regression", model_kind=kind)
    assert "tells" not in capsys.readouterr().out, "nothing was lost, so nothing is to be said"
    assert trained.metrics["eval_rmse"] < 0.2
    rows = _moments(200, 3)
    signatures = tf.saved_model.load(str(trained.folder)).signatures
    fed = {name: tf.constant(rows[name].to_numpy().astype(np.float64)) for name in ("at", "price")}
    answer = signatures["serving_default"](**fed)["prediction"].numpy()
    assert np.sqrt(np.mean((answer - rows["high"].to_numpy()) ** 2)) < 0.2
    examples_of = [
        tf.train.Example(
            features=tf.train.Features(feature={"at": tf.train.Feature(int64_list=tf.train.Int64List(value=[second]))})
        ).SerializeToString()
        for second in rows["at"].to_pylist()
    ]
    missing = fed | {"price": tf.fill([200], tf.constant(np.nan, tf.float64))}
    np.testing.assert_array_equal(
        signatures["serving_examples"](examples=tf.constant(examples_of))["prediction"].numpy(),
        signatures["serving_default"](**missing)["prediction"].numpy(),
    )
