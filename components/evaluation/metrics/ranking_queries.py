"""Ranking: rows grouped by the query they answer, and TFMA's query metrics over them.

In ranking, labels are [rows, 2]: how relevant the row is, and the number of its query.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_model_analysis.metrics import metric_types, ndcg

GAIN, QUERY = "relevance", "query"
"""The names under which TFMA's combiners find relevance and query."""


def are_queries(labels: NDArray[Any], predictions: NDArray[np.float32]) -> bool:
    """Returns whether these are labels of a ranking."""
    return labels.ndim == 2 and predictions.ndim == 1


def count(labels: NDArray[Any]) -> int:
    """Returns the number of queries."""
    return len(np.unique(labels[:, 1]))


def whole(indices: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the positions of all rows of the queries that these rows belong to.

    A slice of a ranking is judged so, as TFMA does it: a part of a query's rows is another ranking than was asked for.
    """
    return np.flatnonzero(np.isin(labels[:, 1], np.unique(labels[indices, 1])))


def fill(combiner: Any, labels: NDArray[Any], predictions: NDArray[np.float32]) -> Any:
    """Returns a query combiner's accumulator over all queries."""
    if type(combiner) is ndcg._NDCGCombiner:
        return _discounted_gains(combiner, labels, predictions)
    combiner.setup()
    accumulator = combiner.create_accumulator()
    for relevance, scores in _each(labels, predictions):
        gains = {QUERY: np.zeros(len(scores)), GAIN: relevance}
        inputs = metric_types.StandardMetricInputs(
            labels=relevance, predictions=scores, example_weights=np.array([1.0]), features=gains
        )
        accumulator = combiner.add_input(accumulator, inputs)
    return accumulator


def normalised_gains(labels: NDArray[Any], predictions: NDArray[np.float32], most: int) -> NDArray[np.float64]:
    """Returns each query's discounted gain of its first `most` rows over the best possible; NaN where none is relevant.

    The gain is the relevance itself, divided by log2(1 + place): Järvelin and Kekäläinen, Cumulated gain-based
    evaluation of IR techniques (ACM TOIS 2002), as TFMA's NDCG has it.
    """
    query = np.unique(labels[:, 1], return_inverse=True)[1]
    # Of equal scores, TFMA puts the later row first.
    order = np.lexsort((np.arange(len(query)), predictions, query))
    reached = _gain(query[order], labels[order, 0], most)
    best = _best_gain(query, labels[:, 0], most)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(best > 0, reached / best, np.nan)


def gains_in_random_order(labels: NDArray[Any], most: int) -> float:
    """Returns what `normalised_gains` is on average, over all queries and all orders of their rows."""
    query = np.unique(labels[:, 1], return_inverse=True)[1]
    rows = np.bincount(query)
    best = _best_gain(query, labels[:, 0], most)
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, most + 2)))])
    expected = np.bincount(query, labels[:, 0]) / rows * discounts[np.minimum(rows, most)]
    relevant = best > 0
    return float((expected[relevant] / best[relevant]).mean()) if relevant.any() else float("nan")


def _best_gain(query: NDArray[np.int64], relevance: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    order = np.lexsort((relevance, query))
    return _gain(query[order], relevance[order], most)


def _gain(query: NDArray[np.int64], relevance: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Returns each query's discounted gain; rows are sorted by query, the first place last."""
    rows = np.bincount(query)
    place = np.cumsum(rows)[query] - np.arange(len(query))
    counted = place <= most
    gains = relevance[counted] / np.log2(place[counted] + 1)
    return np.bincount(query[counted], gains, len(rows)).astype(np.float64)


def _discounted_gains(combiner: Any, labels: NDArray[Any], predictions: NDArray[np.float32]) -> Any:
    accumulator = combiner.create_accumulator()
    for index, key in enumerate(combiner._metric_keys):
        gains = normalised_gains(labels, predictions, key.sub_key.top_k)
        known = gains[~np.isnan(gains)]
        accumulator.ndcg[index] = float(known.sum())
        accumulator.total_weighted_examples = float(len(known))
    return accumulator


def _each(
    labels: NDArray[Any], predictions: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float32]]]:
    order = np.argsort(labels[:, 1], kind="stable")
    ends = np.cumsum(np.unique(labels[:, 1], return_counts=True)[1])
    for rows in np.split(order, ends[:-1]):
        yield labels[rows, 0], predictions[rows]
