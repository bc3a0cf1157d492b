"""TFMA's accumulators filled from whole arrays: the sums its combiners would reach row by row in Python.

Each function takes one of TFMA 0.52's combiners, the labels and the predictions, and returns the accumulator that the
combiner would hold after `add_input` of every row. TFMA's `extract_output` and derived metrics go on from there. A test
holds every one of them against `tfma.analyze_raw_data`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as matrix_sums
from tensorflow_model_analysis.metrics import (
    binary_confusion_matrices,
    calibration,
    calibration_histogram,
    cross_entropy_metrics,
    example_count,
    mean_regression_error,
    metric_types,
    squared_pearson_correlation,
    tf_metric_wrapper,
)
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from mainspring.components.evaluation.metrics import ranking_queries
from mainspring.components.evaluation.scoring.rows import Labels, Predictions

CHUNK_ROWS = 131_072
"""Rows summed at once: beyond them, only accumulators grow together, and memory does not grow with the rows."""

KERAS_BATCH_ROWS = 65_536
"""Rows that a Keras metric sums at once: its sums are float32, and longer ones lose digits."""

TINY = np.float32(1e-7)
"""Keras keeps probabilities this far from 0 and 1."""

_PLAIN = {"from_logits": False, "label_smoothing": 0}


def fill(combiner: Any, key: metric_types.MetricKey, labels: Labels, predictions: Predictions) -> Any:
    """Returns `combiner`'s accumulator over all rows.

    Args:
        combiner: Of a `MetricComputation`.
        key: The computation's first key; its `sub_key` may ask for one class against the rest.
        labels: Of the rows.
        predictions: Of the rows.
    """
    if ranking_queries.are_queries(labels, predictions):
        if not isinstance(combiner, example_count._ExampleCountCombiner):
            return ranking_queries.fill(combiner, labels, predictions)
        labels = labels[:, 0]
    if len(labels) <= CHUNK_ROWS:
        return _fill(combiner, key, labels, predictions)
    starts = range(0, len(labels), CHUNK_ROWS)
    parts = [
        _fill(combiner, key, labels[start : start + CHUNK_ROWS], predictions[start : start + CHUNK_ROWS])
        for start in starts
    ]
    # An iterator: some of TFMA's combiners would add the first of a list twice.
    return combiner.merge_accumulators(iter(parts))


def _fill(combiner: Any, key: metric_types.MetricKey, labels: Labels, predictions: Predictions) -> Any:
    sub_key = key.sub_key
    one_class = sub_key is not None and sub_key.class_id is not None and predictions.ndim == 2
    vectorised = _VECTORISED.get(type(combiner))
    if one_class and vectorised:
        labels, predictions = of_class(labels, predictions, sub_key.class_id)
    if vectorised and (sub_key is None or one_class) and (predictions.ndim == 1 or vectorised in _TAKES_CLASSES):
        return vectorised(combiner, labels.astype(np.float64, copy=False), predictions)
    return row_by_row(combiner, labels, predictions)


def of_class(labels: Labels, predictions: Predictions, index: int) -> tuple[Labels, Predictions]:
    """Returns labels (0 or 1) and predictions of one class against the rest."""
    positive = labels[:, index] if labels.ndim == 2 else labels == index
    return positive.astype(np.float64), predictions[:, index]


def row_by_row(combiner: Any, labels: Labels, predictions: Predictions) -> Any:
    """Feeds TFMA's own combiner one row at a time: slow, and right for whatever it computes."""
    combiner.setup()
    accumulator = combiner.create_accumulator()
    weight = np.array([1.0])
    for label, prediction in zip(labels, predictions, strict=True):
        inputs = metric_types.StandardMetricInputs(
            labels=np.atleast_1d(label), predictions=np.atleast_1d(prediction), example_weights=weight
        )
        accumulator = combiner.add_input(accumulator, inputs)
    return accumulator


def matrices(thresholds: NDArray[np.float64], labels: Labels, predictions: Predictions) -> Any:
    """Returns TFMA's confusion matrices at many thresholds, as it derives them from its histogram of 10,000 buckets.

    TFMA puts each prediction in a bucket, and each bucket under the last threshold (plus 1e-7) not above the bucket's
    start: `calibration_histogram.rebin` and `binary_confusion_matrices._histogram_to_binary_confusion_matrices`.

    Args:
        thresholds: Ascending, the first below 0 and the last above 1, as TFMA interpolates them.
        labels: [rows], 0 or 1.
        predictions: [rows].
    """
    buckets = calibration_histogram.DEFAULT_NUM_BUCKETS
    starts = np.concatenate([[-np.inf], np.arange(buckets) / buckets, [np.inf]])
    edges = np.where(thresholds != 0, thresholds + binary_confusion_matrices._EPSILON, thresholds)
    interval = np.maximum(np.searchsorted(edges, starts, side="right") - 1, 0)
    positives, everything = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    for start in range(0, len(labels), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        index = interval[_bucket_index(predictions[rows].astype(np.float64), 0.0, 1.0, buckets)]
        positives += np.bincount(index, weights=labels[rows], minlength=len(thresholds))
        everything += np.bincount(index, minlength=len(thresholds))
    negatives = everything - positives
    tp, fp = np.cumsum(positives[::-1])[::-1], np.cumsum(negatives[::-1])[::-1]
    fn, tn = tp[0] - tp, fp[0] - fp
    above = thresholds >= 1.0 + binary_confusion_matrices._EPSILON
    tp[above], fp[above], fn[above], tn[above] = 0.0, 0.0, tp[0], fp[0]
    return binary_confusion_matrices.Matrices(thresholds, tp, tn, fp, fn)


def _bucket_index(values: NDArray[np.float64], left: float, width: float, buckets: int) -> NDArray[np.int64]:
    position = (values - left) / width * buckets + 1
    return np.clip(position, 0, buckets + 1).astype(np.int64)


def _histogram(combiner: Any, labels: Labels, predictions: Predictions) -> dict[int, calibration_histogram.Bucket]:
    scores = predictions.astype(np.float64)
    bucketed = scores if combiner._prediction_based_bucketing else labels
    index = _bucket_index(bucketed, combiner._left, combiner._range, combiner._num_buckets)
    size = combiner._num_buckets + 2
    counts = np.bincount(index, minlength=size)
    label_sums = np.bincount(index, weights=labels, minlength=size)
    score_sums = np.bincount(index, weights=scores, minlength=size)
    return {
        int(bucket): calibration_histogram.Bucket(
            int(bucket), float(label_sums[bucket]), float(score_sums[bucket]), float(counts[bucket])
        )
        for bucket in np.flatnonzero(counts)
    }


def _matrices_at_few_thresholds(combiner: Any, labels: Labels, predictions: Predictions) -> dict[float, Any]:
    scores = predictions.astype(np.float64)
    filled = {}
    for threshold in combiner._binary_confusion_matrices._thresholds:
        actual = labels == 1.0 if combiner._enable_fractional_labels else labels > threshold
        predicted = scores > threshold
        tp, predicted_positives, actual_positives = (
            float(np.count_nonzero(mask)) for mask in (actual & predicted, predicted, actual)
        )
        fp, fn = predicted_positives - tp, actual_positives - tp
        matrix = matrix_sums.Matrix(tp=tp, tn=len(labels) - tp - fp - fn, fp=fp, fn=fn)
        filled[threshold] = matrix_sums._ThresholdEntry(matrix, [], [], [], [])
    return filled


def _sums(combiner: Any, labels: Labels, predictions: Predictions) -> Any:
    accumulator = combiner.create_accumulator()
    accumulator.total_weighted_examples = float(len(labels))
    accumulator.total_weighted_labels = float(labels.sum())
    accumulator.total_weighted_predictions = float(predictions.sum(dtype=np.float64))
    return accumulator


def _products(combiner: Any, labels: Labels, predictions: Predictions) -> Any:
    accumulator = _sums(combiner, labels, predictions)
    scores = predictions.astype(np.float64)
    accumulator.total_weighted_squared_labels = float(np.square(labels).sum())
    accumulator.total_weighted_squared_predictions = float(np.square(scores).sum())
    accumulator.total_weighted_labels_times_predictions = float((labels * scores).sum())
    return accumulator


def _count(combiner: Any, labels: Labels, predictions: Predictions) -> float:
    return float(len(labels))


def _errors(of: Callable[[Labels, Labels], Labels]) -> Callable[[Any, Labels, Predictions], Any]:
    def fill_errors(combiner: Any, labels: Labels, predictions: Predictions) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = of(labels, predictions.astype(np.float64))
        errors = errors[~np.isnan(errors)]
        accumulator = combiner.create_accumulator()
        accumulator.total_regression_error = float(errors.sum())
        accumulator.total_example_weights = float(len(errors))
        return accumulator

    return fill_errors


def _percentage_error(labels: Labels, predictions: Labels) -> Labels:
    return 100 * np.abs((labels - predictions) / np.where(labels == 0, np.nan, labels))


def _squared_logarithmic_error(labels: Labels, predictions: Labels) -> Labels:
    return np.square(np.log(labels + 1) - np.log(predictions + 1))


def _binary_cross_entropy(combiner: Any, labels: Labels, predictions: Predictions) -> Any:
    scores = predictions.astype(np.float64)
    smoothing = combiner._label_smoothing
    smoothed = labels * (1.0 - smoothing) + 0.5 * smoothing
    with np.errstate(divide="ignore", invalid="ignore"):
        if combiner._from_logits:
            losses = np.maximum(scores, 0) - scores * smoothed + np.log(1 + np.exp(-np.abs(scores)))
        else:
            losses = -smoothed * np.log(scores) - (1 - smoothed) * np.log(1 - scores)
    accumulator = combiner.create_accumulator()
    accumulator.total_cross_entropy = float(losses.sum())
    accumulator.total_example_weights = float(len(labels))
    return accumulator


def _keras(combiner: Any, labels: Labels, predictions: Predictions) -> Any:
    combiner.setup()
    accumulator = combiner.create_accumulator()
    scores = predictions[:, None] if predictions.ndim == 1 else predictions
    for start in range(0, len(labels), KERAS_BATCH_ROWS):
        rows = slice(start, start + KERAS_BATCH_ROWS)
        true = labels[rows] if labels.ndim == 2 else labels[rows, None]
        for output, name in enumerate(combiner._output_names):
            for index, metric in enumerate(combiner._metrics[name]):
                sums = _keras_sums(metric, true, scores[rows])
                known = accumulator.get_weights(output, index)
                total = sums if known is None else [left + right for left, right in zip(known, sums, strict=True)]
                accumulator._weights[output][index] = total
    return accumulator


def _keras_sums(metric: Any, true: Labels, scores: Predictions) -> list[NDArray[np.float64]]:
    """Returns a Keras metric's sums over the rows.

    A mean of row values is taken from its own function: `update_state` costs ten times as much around it.
    """
    if type(metric) is tf_keras.metrics.BinaryCrossentropy and metric.get_config().items() >= _PLAIN.items():
        near = np.clip(scores, TINY, 1 - TINY, dtype=np.float32)
        losses = -np.where(true == 1, np.log(near + TINY), np.log(1 - near + TINY)).mean(axis=1)
        return [np.asarray(losses.sum(dtype=np.float64)), np.asarray(float(len(losses)))]
    if type(metric).update_state is tf_keras.metrics.MeanMetricWrapper.update_state:
        values = np.asarray(metric._fn(true.astype(np.float32), scores, **metric._fn_kwargs))
        return [np.asarray(values.sum(dtype=np.float64)), np.asarray(float(values.size))]
    metric.reset_states()
    metric.update_state(true, scores, np.ones((len(true), 1), np.float32))
    return [np.asarray(part, np.float64) for part in metric.get_weights()]


_VECTORISED: dict[type, Callable[[Any, Labels, Predictions], Any]] = {
    binary_confusion_matrices._BinaryConfusionMatrixCombiner: _matrices_at_few_thresholds,
    calibration._WeightedLabelsPredictionsExamplesCombiner: _sums,
    calibration_histogram._CalibrationHistogramCombiner: _histogram,
    cross_entropy_metrics._BinaryCrossEntropyCombiner: _binary_cross_entropy,
    example_count._ExampleCountCombiner: _count,
    mean_regression_error._MeanAbsoluteErrorCombiner: _errors(lambda label, score: np.abs(label - score)),
    mean_regression_error._MeanSquaredErrorCombiner: _errors(lambda label, score: np.square(label - score)),
    mean_regression_error._MeanAbsolutePercentageErrorCombiner: _errors(_percentage_error),
    mean_regression_error._MeanSquaredLogarithmicErrorCombiner: _errors(_squared_logarithmic_error),
    squared_pearson_correlation._SquaredPearsonCorrelationCombiner: _products,
    tf_metric_wrapper._CompilableMetricsCombiner: _keras,
}
_TAKES_CLASSES = frozenset({_count, _keras})
