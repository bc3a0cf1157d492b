"""The two layers that turn ids into numbers: one table for many features, so that a step makes few lookups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

SMALLEST_WIDTH = 4


def embedding_width(ids: int, largest: int) -> int:
    """Returns an embedding's width for so many ids: a power of two near their square root, at most `largest`."""
    return min(largest, max(SMALLEST_WIDTH, 1 << round(np.log2(max(ids, 1)) / 2)))


class Embeddings(keras.layers.Layer):
    """Embeds columns of ids, each with its own width; columns of equal width share one table.

    The tables start at zero: an id that training never meets stays there and changes nothing.
    """

    def __init__(self, id_counts: Sequence[int], largest: int, **keywords: Any) -> None:
        """Plans the tables.

        Args:
            id_counts: Ids per column.
            largest: Largest width.
            **keywords: Keras' own, such as `name`.
        """
        super().__init__(**keywords)
        widths = np.array([embedding_width(count, largest) for count in id_counts])
        self.groups = [(int(width), np.flatnonzero(widths == width)) for width in np.unique(widths)]
        self.id_counts = np.array(id_counts)

    def build(self, input_shape: Any) -> None:
        """Makes the tables."""
        self.tables = [
            self.add_weight(
                shape=(int(self.id_counts[columns].sum()), width), initializer="zeros", name=f"width_{width}"
            )
            for width, columns in self.groups
        ]

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns float32 [rows, sum of widths] for int32 ids [rows, columns]."""
        embedded = []
        for (width, columns), table in zip(self.groups, self.tables, strict=True):
            rows = tf.gather(ids, columns, axis=1) + _offsets(self.id_counts[columns])
            embedded.append(tf.reshape(tf.gather(table.value, rows), [-1, width * len(columns)]))
        return tf.concat(embedded, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[None, int]:
        """Returns the output's shape for Keras."""
        return None, sum(width * len(columns) for width, columns in self.groups)


class Wide(keras.layers.Layer):
    """Sums one effect per id and output: the linear part of a wide and deep model."""

    def __init__(self, id_counts: Sequence[int], units: int, **keywords: Any) -> None:
        """Plans the table.

        Args:
            id_counts: Ids per column.
            units: Outputs.
            **keywords: Keras' own, such as `name`.
        """
        super().__init__(**keywords)
        self.id_counts = np.array(id_counts)
        self.units = units

    def build(self, input_shape: Any) -> None:
        """Makes the table."""
        self.table = self.add_weight(shape=(int(self.id_counts.sum()), self.units), initializer="zeros", name="effects")

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns float32 [rows, units] for int32 ids [rows, columns]."""
        return tf.reduce_sum(tf.gather(self.table.value, ids + _offsets(self.id_counts)), axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[None, int]:
        """Returns the output's shape for Keras."""
        return None, self.units


def _offsets(counts: np.ndarray) -> np.ndarray:
    return (np.cumsum(counts) - counts).astype(np.int32)
