"""Serialised tf.Examples as tensors: each column's first value, or what stands for a missing one."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from mainspring.components.training.features.columns import CATEGORICAL, Feature

NO_INTEGER = tf.int64.min
"""Stands for a missing int64."""
MISSING_VALUES = {tf.int64: NO_INTEGER, tf.float32: float("nan"), tf.string: ""}


def first_values(examples: tf.Tensor, kinds: Mapping[str, tf.DType]) -> dict[str, tf.Tensor]:
    """Returns each column's first value, or `MISSING_VALUES`' one where an example has none.

    Args:
        examples: Serialised tf.Examples, string [rows].
        kinds: int64, float32 or string by column: whether int64_list, float_list or bytes_list carries it.

    Returns:
        A tensor [rows] per column.
    """
    parsed = tf.io.parse_example(
        examples,
        {
            name: tf.io.FixedLenSequenceFeature([], kind, allow_missing=True, default_value=MISSING_VALUES[kind])
            for name, kind in kinds.items()
        },
    )
    rows = tf.size(examples)
    return {
        name: tf.concat([parsed[name], tf.fill([rows, 1], tf.constant(MISSING_VALUES[kind], kind))], axis=1)[:, 0]
        for name, kind in kinds.items()
    }


def parse_examples(examples: tf.Tensor, features: list[Feature]) -> dict[str, tf.Tensor]:
    """Turns serialised tf.Examples into `serving_default`'s tensors.

    Args:
        examples: string [rows].
        features: The features; an integer one is read from int64_list, other quantities from float_list, text from
            bytes_list.
    """
    kinds = {
        feature.name: tf.int64 if feature.is_integer else tf.string if feature.kind == CATEGORICAL else tf.float32
        for feature in features
    }
    rows = first_values(examples, kinds)
    for feature in features:
        values = rows[feature.name]
        if feature.is_integer and feature.kind == CATEGORICAL:
            rows[feature.name] = tf.where(values == NO_INTEGER, "", tf.strings.as_string(values))
        elif feature.is_integer:
            kind = tf.float64 if feature.offset else tf.float32
            numbers = tf.cast(values, kind)
            rows[feature.name] = tf.where(values == NO_INTEGER, tf.constant(float("nan"), kind), numbers)
        elif feature.offset:  # A float_list holds float32, and nothing is left to save.
            rows[feature.name] = tf.cast(values, tf.float64)
    return rows
