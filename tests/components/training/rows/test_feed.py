"""Rows that do not fit in memory are trained on as those that do: the same preprocessing, a shuffle of all rows."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from samples import Trained, binary_rows, table_of, write_examples

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.training.features import surveying
from mainspring.components.training.hyperparameters import checked
from mainspring.components.training.rows import blocks
from mainspring.components.training.rows.blocks import Blocks, Layout, deal, pack
from mainspring.components.training.rows.feed import batches_per_epoch, train_batches
from mainspring.components.training.rows.preparing import Prepared, Shard, open_examples, prepare

LAYOUT = Layout(ids=1, crosses=0, numbers=1, has_float_target=True)
ROWS, BATCH = 20_000, 128


@pytest.fixture
def dealt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blocks:
    """Rows numbered in the order of their dates, on disk in several blocks."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 2048)
    parts = [_numbered(start, min(3000, ROWS - start)) for start in range(0, ROWS, 3000)]
    return deal(parts, LAYOUT, ROWS, BATCH, tmp_path, seed=1)


def test_every_row_comes_once_an_epoch_but_for_a_few_left_over(dealt: Blocks) -> None:
    assert len(dealt.sizes) == 9
    assert sum(dealt.sizes) == ROWS
    first, second = (_epoch(dealt, number) for number in range(2))
    assert len(set(first)) == len(first) > 0.93 * ROWS
    assert first != second
    # What one epoch leaves out, another brings.
    assert len(set(first) | set(second)) > 0.99 * ROWS


def test_rows_in_the_order_of_their_dates_are_shuffled_as_a_whole(dealt: Blocks) -> None:
    batches = np.array(_epoch(dealt, 0)).reshape(-1, BATCH)
    # Mean and spread of a batch's dates are those of a sample of the whole table.
    deviation = ROWS / np.sqrt(12)
    assert np.abs(batches.mean(axis=1) - ROWS / 2).max() < 5 * deviation / np.sqrt(BATCH)
    assert batches.std(axis=1).min() > 0.8 * deviation
    # Neighbours in time are no more often together than chance has it.
    together = np.mean([np.mean(np.diff(np.sort(batch)) == 1) for batch in batches])
    assert together < 3 * BATCH / ROWS


def test_a_feed_taken_up_in_the_middle_gives_the_batches_that_were_to_come(dealt: Blocks) -> None:
    whole = [batch[0]["ids"].numpy() for batch in train_batches(dealt, BATCH, 2, seed=3)]
    for start in (1, 15, 16, 40, len(whole) - 1):
        rest = [batch[0]["ids"].numpy() for batch in train_batches(dealt, BATCH, 2, seed=3, start=start)]
        assert len(rest) == len(whole) - start
        np.testing.assert_array_equal(np.concatenate(rest), np.concatenate(whole[start:]))


def test_rows_on_disk_are_encoded_as_rows_in_memory_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = write_examples(tmp_path / "e", binary_rows(6000, 1), binary_rows(300, 2))
    in_memory = _prepared(examples, tmp_path)
    # All rows are still in the sample, so that bins and crosses must come out the same.
    monkeypatch.setattr("mainspring.components.training.rows.preparing.surveying.RESIDENT_CELLS", 6000 * 4 - 4)
    monkeypatch.setattr(surveying, "sampled_rows", lambda rows, wanted, seed: np.arange(rows))
    on_disk = _prepared(examples, tmp_path)
    assert in_memory.train.resident is not None
    assert on_disk.train.resident is None
    assert on_disk.encoder.names == in_memory.encoder.names
    np.testing.assert_array_equal(on_disk.encoder.known, in_memory.encoder.known)
    np.testing.assert_allclose(on_disk.encoder.statistics.mean, in_memory.encoder.statistics.mean)
    rows = [np.fromfile(file, np.int32).reshape(-1, on_disk.train.layout.width) for file in on_disk.train.files]
    assert _sorted(np.concatenate(rows)).tolist() == _sorted(in_memory.train.resident).tolist()


def test_each_worker_gets_rows_of_its_own_and_as_many(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", binary_rows(1001, 1), binary_rows(100, 2))
    shards = [_prepared(examples, tmp_path, Shard(number, 3)) for number in range(3)]
    assert [shard.train.rows for shard in shards] == [333, 333, 333]
    whole = _prepared(examples, tmp_path)
    parts = np.concatenate([shard.train.resident for shard in shards])
    assert whole.train.resident is not None
    assert _sorted(parts).tolist() == _sorted(whole.train.resident[:999]).tolist()
    assert shards[0].encoder.statistics.vocabularies == whole.encoder.statistics.vocabularies


def test_tfrecord_is_trained_on_as_parquet_is(
    train: Callable[..., Trained], binary: Trained, binary_examples: Path, tmp_path: Path
) -> None:
    examples = Path(shutil.copytree(binary_examples, tmp_path / "examples"))
    for number, path in enumerate(sorted(examples.glob("*/*.parquet"))):
        records = [_example(row).SerializeToString() for row in pq.read_table(path).to_pylist()]
        target = path.with_suffix(".tfrecord" if number % 2 else ".tfrecord.gz")
        with tf.io.TFRecordWriter(str(target), "" if number % 2 else "GZIP") as writer:
            for record in records:
                writer.write(record)
        path.unlink()
    made = train(examples, label="good", max_epochs=8)
    # Its floats have 32 bits, Parquet's have 64: nothing else differs.
    assert made.metrics == pytest.approx(binary.metrics, rel=1e-3)
    broken = examples / "train" / "1.tfrecord.gz"
    broken.write_bytes(gzip.compress(gzip.decompress(broken.read_bytes())[:-7]))
    with pytest.raises(UserError, match=r"1.tfrecord.gz cannot be read as TFRecord"):
        train(examples, label="good", max_epochs=1)


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(total=usage.total, free=1000))
    with pytest.raises(RetriableError, match=r"disk: the encoded rows need .* GB free; free some"):
        deal([], LAYOUT, ROWS, BATCH, tmp_path, seed=1)
    with pytest.raises(UserError, match=r"give the task more") as caught:
        deal([], LAYOUT, usage.total, BATCH, tmp_path, seed=1)
    assert not isinstance(caught.value, RetriableError)
    assert not list(tmp_path.iterdir())


def _numbered(start: int, rows: int) -> np.ndarray:
    numbers = np.arange(start, start + rows, dtype=np.int32)
    inputs = {"ids": numbers[:, None], "numbers": np.zeros((rows, 1), np.float32)}
    return pack(inputs, np.zeros(rows, np.float32))


def _epoch(rows: Blocks, number: int) -> list[int]:
    whole = batches_per_epoch(rows, BATCH)
    batches = list(train_batches(rows, BATCH, number + 1, seed=3, start=number * whole))
    return np.concatenate([inputs["ids"].numpy()[:, 0] for inputs, _ in batches]).tolist()


def _prepared(examples: Path, folder: Path, shard: Shard | None = None) -> Prepared:
    scratch = folder / f"scratch-{len(list(folder.iterdir()))}"
    scratch.mkdir()
    return prepare(open_examples(examples, examples, "good", ()), "auto", checked(), scratch, shard or Shard())


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def _example(row: dict) -> tf.train.Example:
    example = tf.train.Example()
    for name, value in row.items():
        if isinstance(value, str):
            example.features.feature[name].bytes_list.value.append(value.encode())
        elif isinstance(value, int):
            example.features.feature[name].int64_list.value.append(value)
        elif value is not None:
            example.features.feature[name].float_list.value.append(value)
    return example


def test_a_column_of_one_type_here_and_another_there_is_read(tmp_path: Path) -> None:
    whole = table_of(x=("double", [0.5, 1.5, 2.5, 3.5] * 10), good=("int64", [0, 1, 0, 1] * 10))
    examples = write_examples(tmp_path / "e", whole, whole)
    narrow = pq.read_table(examples / "train" / "2.parquet")
    narrow = narrow.set_column(0, "x", narrow["x"].cast("float"))
    pq.write_table(narrow, examples / "train" / "2.parquet")
    assert _prepared(examples, tmp_path).train_rows == 40
