"""The forest as a graph of plain TensorFlow operations: comparisons and two matrix products, no operation of its own.

Every question of every tree is answered at once, and a product with the trees' paths says which leaf each row reaches.
The products are of small whole numbers, which float32 holds exactly; leaves are added up in double precision. Source of
the form: Nakandala et al., "A Tensor Compiler for Unified Machine Learning Prediction Serving" (OSDI 2020).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mainspring.components.training.features.columns import Feature
from mainspring.components.training.features.preprocessing import TINY
from mainspring.components.training.trees.codes import MISSING, Codes
from mainspring.components.training.trees.forest import Forest

ROWS_AT_ONCE = 512
"""What lies between the products stays in the processor's cache, and memory does not grow with the request."""


class TreeGraph(tf.Module):
    """From raw values to outputs. A tf.Module: a SavedModel carries its tables."""

    def __init__(self, codes: Codes, forest: Forest) -> None:
        """Makes the tables and constants."""
        super().__init__(name="trees")
        self._codes, self._forest = codes, forest
        self.tables = [
            _table(values, of_values) for values, of_values in zip(codes.values, codes.codes_of_values, strict=True)
        ]
        width = max([len(borders) for borders in codes.borders], default=0)
        borders = np.full((len(codes.borders), width), np.inf)
        for row, some in enumerate(codes.borders):
            borders[row, : len(some)] = some
        self.arrays = [
            tf.Variable(array, trainable=False, name=name)
            for name, array in (
                ("borders", borders),
                ("asked", forest.asked.ravel()),
                ("limits", forest.limits.reshape(-1, 1)),
                ("paths", forest.paths),
                ("lefts", forest.lefts[:, :, None]),
                ("leaves", forest.leaves.reshape(len(forest.leaves), -1)),
                ("sets", forest.sets.ravel()),
            )
        ]

    @property
    def features(self) -> list[Feature]:
        """The raw inputs."""
        return [*self._codes.numeric, *self._codes.categorical]

    def outputs(self, rows: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns float64 [rows, units]: logits, or standardised values.

        Args:
            rows: By feature, [rows]: numbers (not finite: missing) or strings ("": missing).
        """
        columns = [
            table.lookup(rows[feature.name])
            for feature, table in zip(self._codes.categorical, self.tables, strict=True)
        ]
        if self._codes.numeric:
            numbers = tf.stack([tf.cast(rows[feature.name], tf.float64) for feature in self._codes.numeric])
            numbers = tf.where(tf.abs(numbers) < TINY, tf.zeros_like(numbers), numbers)
            reached = tf.searchsorted(self.arrays[0], numbers, side="right")
            columns += tf.unstack(tf.where(tf.math.is_finite(numbers), reached, MISSING))
        return self._in_parts(tf.stack(columns))

    def _in_parts(self, codes: tf.Tensor) -> tf.Tensor:
        """Takes int32 [columns, rows] through the forest, a bounded number of rows at a time."""
        count = tf.shape(codes)[1]
        step = tf.clip_by_value(count, 1, ROWS_AT_ONCE)
        parts = tf.maximum((count + step - 1) // step, 1)  # Of no rows, too: a row that is cut off again.
        padded = tf.pad(codes, [[0, 0], [0, parts * step - count]])
        outputs = tf.map_fn(
            lambda part: self._forest_outputs(padded[:, part * step : (part + 1) * step]),
            tf.range(parts),
            fn_output_signature=tf.TensorSpec([len(self._forest.leaves), None], tf.float64),
            parallel_iterations=1,
        )
        units = len(self._forest.leaves)
        return tf.reshape(tf.transpose(outputs, [0, 2, 1]), [-1, units])[:count] + self._forest.start

    def _forest_outputs(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns what all leaves add up to, float64 [units, rows]."""
        _, asked, limits, paths, lefts, leaves, sets = self.arrays
        forest = self._forest
        missing_left = tf.where(codes == MISSING, -1, codes)
        values = [tf.cast(missing_left, tf.float32), tf.cast(codes, tf.float32)]
        if len(forest.set_columns):
            starts = (np.arange(len(forest.set_columns), dtype=np.int32) * (MISSING + 1))[:, None]
            values.append(tf.gather(sets, tf.gather(codes, forest.set_columns) + starts))
        answers = tf.cast(tf.gather(tf.concat(values, axis=0), asked) <= limits, tf.float32)
        answers = tf.reshape(answers, [*forest.asked.shape, -1])
        reached = tf.cast(tf.equal(tf.matmul(paths, answers), lefts), tf.float64)
        return tf.matmul(leaves, tf.reshape(reached, [leaves.shape[1], -1]))


def _table(values: tuple[str, ...], codes: np.ndarray) -> tf.lookup.StaticHashTable:
    keys, numbers = tf.constant(["", *values]), tf.constant([MISSING, *codes.tolist()], tf.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, numbers), default_value=MISSING)
