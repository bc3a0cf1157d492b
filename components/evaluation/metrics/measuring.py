"""Metrics by TFMA without Beam: its computations, fed whole arrays."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import binary_confusion_matrices, metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import MULTICLASS, MULTILABEL, ModelManifest
from mainspring.components.evaluation.metrics import accumulators, areas, row_values
from mainspring.components.evaluation.metrics.class_counts import undefined_because
from mainspring.components.evaluation.metrics.named_class import at_threshold
from mainspring.components.evaluation.policy.metric_catalogue import METRICS, NDCG_PLACES, UNDEFINED_FOR_ONE_CLASS
from mainspring.components.evaluation.policy.policy import Metric, Policy
from mainspring.components.evaluation.scoring.rows import Labels, Predictions


class MetricFailure(UserError):
    """A metric that cannot be computed on these labels and predictions."""


Measure = Callable[[Labels, Predictions], dict[str, float]]
"""From labels and predictions to values by metric name; NaN where a metric is undefined for these rows."""


def metrics_specs(metrics: Sequence[Metric], model: ModelManifest) -> list[config_pb2.MetricsSpec]:
    """Returns TFMA's specs: one-class metrics are averaged over the classes (macro) where there are several outputs."""
    plain, averaged, by_query = config_pb2.MetricsSpec(), config_pb2.MetricsSpec(), config_pb2.MetricsSpec()
    by_query.query_key = model.query
    averaged.aggregate.macro_average = True
    for index in range(len(model.classes)):
        averaged.aggregate.class_weights[index] = 1.0
    for metric in metrics:
        known = METRICS[metric.class_name]
        several = model.task in (MULTICLASS, MULTILABEL)
        spec = by_query if known.per_query else averaged if several and known.per_class else plain
        settings = {**metric.settings, "name": metric.name}
        if metric.class_name == "NDCG":
            settings = {"gain_key": model.label, "top_k_list": [NDCG_PLACES], **settings}
        spec.metrics.add(class_name=metric.class_name, config=json.dumps(settings, sort_keys=True))
    return [spec for spec in (plain, averaged, by_query) if spec.metrics]


def eval_config(policy: Policy, model: ModelManifest, roles: Sequence[str]) -> config_pb2.EvalConfig:
    """Returns TFMA's `EvalConfig` for the policy, with a model spec per role."""
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                name=role,
                signature_name="serving_default",
                label_key=model.label,
                prediction_key="prediction",
                is_baseline=role == "champion",
            )
            for role in roles
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=features) for features in policy.slices),
        ],
        metrics_specs=metrics_specs(policy.metrics, model),
    )


def measure_with(metrics: Sequence[Metric], model: ModelManifest) -> Measure:
    """Returns the function that computes `metrics` over any rows: exactly where we can, else as TFMA does.

    Args:
        metrics: The metrics.
        model: The one that predicts: metrics of the class that it names are taken at its threshold.

    Raises:
        UserError: TFMA refuses a metric's settings.
    """
    named = [metric for metric in metrics if metric.judges_named_class]
    if not named or model.threshold is None or len(named) == len(metrics):
        whole = _measure_with(metrics, model)
        return at_threshold(named[0], whole, model) if len(named) == len(metrics) and named else whole
    of_named = at_threshold(named[0], _measure_with(named, model), model)
    of_others = _measure_with([metric for metric in metrics if not metric.judges_named_class], model)

    def measure(labels: Labels, predictions: Predictions) -> dict[str, float]:
        found = of_named(labels, predictions) | of_others(labels, predictions)
        return {metric.name: found[metric.name] for metric in metrics}

    return measure


def _measure_with(metrics: Sequence[Metric], model: ModelManifest) -> Measure:
    config = config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(label_key=model.label, prediction_key="prediction")]
    )
    try:
        computations = metric_specs.to_computations(metrics_specs(metrics, model), eval_config=config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UserError(f"policy: metrics: TFMA refuses the settings: {error}") from error
    exact = {metric.name: function for metric in metrics if (function := _exact(metric))}
    if exact:  # All were given to TFMA first, which checks their settings.
        others = [metric for metric in metrics if metric.name not in exact]
        computations = metric_specs.to_computations(metrics_specs(others, model), eval_config=config) if others else []
    distinct = list(dict.fromkeys(computations))
    thresholds = _many_thresholds(distinct)
    one_class_undefined = {metric.name for metric in metrics if metric.class_name in UNDEFINED_FOR_ONE_CLASS}

    def measure(labels: Labels, predictions: Predictions) -> dict[str, float]:
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = _compute(distinct, thresholds, labels, predictions)
                measured = {
                    metric.name: exact[metric.name](labels, predictions)
                    if metric.name in exact
                    else _scalar(values, metric.name)
                    for metric in metrics
                }
        except Exception as error:  # Whatever TFMA or Keras raise: the verdict is no, and says so.
            names = ", ".join(metric.name for metric in metrics)
            raise MetricFailure(f"the metrics cannot be computed ({names}): {str(error)[:300]}") from error
        if one_class_undefined and lacks_a_class(labels, model):
            measured |= dict.fromkeys(one_class_undefined, float("nan"))
        return measured

    return measure


def lacks_a_class(labels: Labels, model: ModelManifest) -> str:
    """Returns why these rows cannot tell the classes apart, or an empty text where they can.

    Every class needs a few rows, and so do all others together: see `class_counts`.
    """
    if not model.classes:
        return ""
    if labels.ndim == 2:
        counts = labels.sum(axis=0, dtype=np.int64)
    else:
        counts = np.bincount(labels.astype(np.int64), minlength=len(model.classes))
    for name, count in zip(model.classes, counts.tolist(), strict=True):
        others = f"class {model.classes[0]!r}" if labels.ndim == 1 and len(model.classes) == 2 else "another class"
        why = undefined_because(count, len(labels) - count, f"class {name!r}", others)
        if why and not (labels.ndim == 1 and len(model.classes) == 2 and name == model.classes[0]):
            return why
    return ""


def undefined(
    values: Mapping[str, float], metrics: Sequence[Metric], labels: Labels, model: ModelManifest
) -> dict[str, str]:
    """Returns, by name, why a metric of classes has no value over these rows; only those that have none.

    Args:
        values: What was measured.
        metrics: Of the policy.
        labels: Of the rows.
        model: Says the classes.
    """
    unknown = [
        metric.name
        for metric in metrics
        if METRICS[metric.class_name].per_class and not math.isfinite(values[metric.name])
    ]
    why = lacks_a_class(labels, model) if unknown else ""
    return dict.fromkeys(unknown, why) if why else {}


def _exact(metric: Metric) -> Callable[[Labels, Predictions], float] | None:
    of_row = row_values.of_metric(metric)
    return partial(row_values.mean, metric, of_row) if of_row else areas.of_metric(metric)


class _Values(dict[Any, Any]):
    """Values by metric key, of which the combiners' own are computed only when a derived one asks for them."""

    def __init__(self, of: dict[Any, Callable[[], dict[Any, Any]]]) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, key: Any) -> Any:
        self.update(self._of[key]())
        return self[key]


def _compute(
    computations: Sequence[Any], thresholds: dict[Any, Any], labels: Labels, predictions: Predictions
) -> dict[Any, Any]:
    def combined(computation: Any) -> Callable[[], dict[Any, Any]]:
        def run() -> dict[Any, Any]:
            filled = accumulators.fill(computation.combiner, computation.keys[0], labels, predictions)
            output: dict[Any, Any] = computation.combiner.extract_output(filled)
            return output

        return run

    values = _Values(
        {
            key: combined(computation)
            for computation in computations
            if isinstance(computation, metric_types.MetricComputation)
            for key in computation.keys
        }
    )
    for computation in computations:
        if isinstance(computation, metric_types.DerivedMetricComputation):
            key = computation.keys[0] if computation.keys else None
            if key in thresholds:
                values[key] = _matrices(key, thresholds[key], labels, predictions)
            else:
                values.update(computation.result(values))
    for key in list(values._of):
        if not key.name.startswith("_"):
            values[key]
    return values


def _many_thresholds(computations: Sequence[Any]) -> dict[Any, Any]:
    """Returns, by key, the thresholds of those confusion matrices that TFMA derives from its default histogram."""
    prefix = f"{binary_confusion_matrices.BINARY_CONFUSION_MATRICES_NAME}:num_thresholds="
    found = {}
    for computation in computations:
        if isinstance(computation, metric_types.DerivedMetricComputation) and computation.keys:
            key = computation.keys[0]
            if key.name.startswith(prefix):
                count = int(key.name.removeprefix(prefix))
                found[key] = np.array(binary_confusion_matrices._interpolated_thresholds(count))
    return found


def _matrices(key: Any, thresholds: Any, labels: Labels, predictions: Predictions) -> Any:
    if key.sub_key is not None:
        labels, predictions = accumulators.of_class(labels, predictions, key.sub_key.class_id)
    return accumulators.matrices(thresholds, labels, predictions)


def _scalar(values: dict[Any, Any], name: str) -> float:
    """Returns the metric's value; NaN if TFMA gave none or more than one number."""
    of_metric = {key: value for key, value in values.items() if key.name == name}
    found = [value for key, value in of_metric.items() if key.sub_key is None or key.sub_key.top_k is not None]
    array = np.asarray(found[0], dtype=np.float64) if len(found) == 1 else np.array([])
    return float(array.reshape(-1)[0]) if array.size == 1 else float("nan")
