"""From blocks of encoded rows to batches: shuffled anew each epoch, told by seed and position alone.

A batch's rows depend on the seed and the batch's number and on nothing else, so that a training that was cut short goes
on exactly where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from mainspring.components.training.rows.blocks import Blocks, unpack

CROSSES_FORGOTTEN = 0.1
"""Share of rows that are trained without their crosses, so that the model can do without where a cell is unknown."""
BATCHES_AHEAD = 8


@dataclass(frozen=True)
class Split:
    """A split's encoded rows, in memory."""

    inputs: dict[str, np.ndarray]
    """`ids` and `numbers`, each [rows, columns]."""
    targets: np.ndarray
    """[rows]"""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.targets)


def batches_per_block(blocks: Blocks, batch_size: int) -> int:
    """Returns how many whole batches each block gives; the few rows left over are others in each epoch."""
    return min(blocks.sizes) // batch_size


def batches_per_epoch(blocks: Blocks, batch_size: int) -> int:
    """Returns how many whole batches one pass over the rows gives."""
    return batches_per_block(blocks, batch_size) * len(blocks.sizes)


def train_batches(blocks: Blocks, batch_size: int, epochs: int, seed: int, start: int = 0) -> tf.data.Dataset:
    """Returns the batches of some epochs: ({`ids`, `numbers`}, targets [rows, 1]) each.

    Args:
        blocks: The encoded rows.
        batch_size: Rows per batch; all of a block where it has fewer.
        epochs: Passes over the rows.
        seed: Of the order of the rows.
        start: How many batches to leave out, counted from the first epoch's first.
    """
    layout, places = blocks.layout, len(blocks.sizes)
    batch_size = min(batch_size, min(blocks.sizes))
    per_block = batches_per_block(blocks, batch_size)
    resident = None if blocks.resident is None else tf.constant(blocks.resident)
    files = tf.constant(blocks.files or ("",))
    is_cross = np.arange(layout.ids) >= layout.ids - layout.crosses

    @tf.autograph.experimental.do_not_convert
    def load(turn: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if resident is not None:
            rows = resident
        else:
            order = tf.random.experimental.stateless_shuffle(tf.range(places), seed=[np.int64(seed), turn // places])
            content = tf.io.read_file(files[order[turn % places]])
            rows = tf.reshape(tf.io.decode_raw(content, tf.int32), [-1, layout.width])
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(rows)[0]), seed=[np.int64(seed), turn])
        return turn, rows, order

    @tf.autograph.experimental.do_not_convert
    def block_batches(turn: tf.Tensor, rows: tf.Tensor, order: tf.Tensor) -> tf.data.Dataset:
        def batch(number: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            taken = tf.reshape(order[number * batch_size : (number + 1) * batch_size], [batch_size])
            inputs, targets = unpack(tf.gather(rows, taken), layout)
            if layout.crosses:
                chance = tf.random.stateless_uniform([batch_size, 1], seed=[np.int64(seed), turn * per_block + number])
                inputs["ids"] = tf.where((chance < CROSSES_FORGOTTEN) & is_cross, 0, inputs["ids"])
            return inputs, targets

        first = tf.where(turn == start // per_block, np.int64(start % per_block), np.int64(0))
        return tf.data.Dataset.range(first, per_block).map(tf.autograph.experimental.do_not_convert(batch))

    turns = tf.data.Dataset.range(start // per_block, epochs * places).map(load)
    if resident is None:
        turns = turns.prefetch(1)  # The next block is read while this one is trained on.
    return turns.flat_map(block_batches).prefetch(BATCHES_AHEAD).with_options(_options())


def _options() -> tf.data.Options:
    """Returns options without tuning: nothing here is left to it, and ending its thread can take seconds."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def eval_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Returns a split's batches, in order, the last one smaller: ({`ids`, `numbers`}, targets [rows, 1]) each."""
    return tf.data.Dataset.from_tensor_slices((split.inputs, split.targets[:, None])).batch(batch_size)
