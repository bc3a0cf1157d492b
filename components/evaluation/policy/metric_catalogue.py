"""The metrics a policy may name: TFMA's and Keras' class names, which way is better, and for which tasks they are.

Held as data, so that a misspelt name is refused in the first second, before TensorFlow and TFMA are imported. A test
holds the names against TFMA's own registry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.manifests import BINARY, JUDGED_TASKS, MULTICLASS, MULTILABEL, RANKING, REGRESSION

HIGHER, LOWER, NEITHER = 1, -1, 0
"""The directions in which a metric is better; `NEITHER` for those that only describe."""


@dataclass(frozen=True)
class MetricClass:
    """What is known of a metric before it is computed."""

    name: str
    """Class name in `tfma.metrics` or `tf_keras.metrics`."""
    direction: int
    """`HIGHER`, `LOWER` or `NEITHER`."""
    tasks: tuple[str, ...]
    """The tasks whose labels and predictions it takes."""
    per_class: bool = False
    """Whether it judges one class against the rest: averaged over the classes (macro) where there are more than two."""

    @property
    def per_query(self) -> bool:
        """Whether it judges the order of the rows that belong to one query."""
        return self.tasks == (RANKING,)


_CONFUSION = {
    HIGHER: "AUC AUCPrecisionRecall BalancedAccuracy DiagnosticOddsRatio F1Score FowlkesMallowsIndex Informedness "
    "Markedness MatthewsCorrelationCoefficient NPV NegativePredictiveValue PPV PositiveLikelihoodRatio Precision "
    "PrecisionAtRecall Recall RecallAtFalsePositiveRate RecallAtPrecision SensitivityAtSpecificity Specificity "
    "SpecificityAtSensitivity TN TNR TP TPR ThreatScore TrueNegatives TruePositives",
    LOWER: "FN FNR FP FPR FallOut FalseDiscoveryRate FalseNegatives FalseOmissionRate FalsePositives MissRate "
    "NegativeLikelihoodRatio",
    NEITHER: "PredictedPositiveRate Prevalence PrevalenceThreshold ThresholdAtRecall",
}
_BINARY = {
    HIGHER: "BinaryIoU CoefficientOfDiscrimination RelativeCoefficientOfDiscrimination",
    LOWER: "BinaryCrossEntropy",
}
_BINARY_AND_MULTILABEL = {HIGHER: "BinaryAccuracy", LOWER: "BinaryCrossentropy"}
_BINARY_AND_REGRESSION = {
    HIGHER: "SquaredPearsonCorrelation",
    LOWER: "MeanAbsoluteError MeanSquaredError RootMeanSquaredError",
    NEITHER: "Calibration MeanLabel MeanPrediction",
}
_MULTICLASS = {
    HIGHER: "SparseCategoricalAccuracy SparseTopKCategoricalAccuracy",
    LOWER: "SparseCategoricalCrossentropy",
}
_REGRESSION = {
    LOWER: "LogCoshError MeanAbsolutePercentageError MeanSquaredLogarithmicError Poisson",
}
_RANKING = {HIGHER: "NDCG", LOWER: "MinLabelPosition"}
_ANY = {NEITHER: "ExampleCount"}


def _classes() -> dict[str, MetricClass]:
    families = [
        (_CONFUSION, (BINARY, MULTICLASS, MULTILABEL), True),
        (_BINARY, (BINARY,), False),
        (_BINARY_AND_MULTILABEL, (BINARY, MULTILABEL), False),
        (_BINARY_AND_REGRESSION, (BINARY, REGRESSION), False),
        (_MULTICLASS, (MULTICLASS,), False),
        (_REGRESSION, (REGRESSION,), False),
        (_RANKING, (RANKING,), False),
        (_ANY, JUDGED_TASKS, False),
    ]
    return {
        name: MetricClass(name, direction, tasks, per_class)
        for family, tasks, per_class in families
        for direction, names in family.items()
        for name in names.split()
    }


METRICS = _classes()
"""The metrics by class name."""

_OTHERS = (
    # Plots, tables and samples of rows: not one number to judge.
    "CalibrationPlot ConfusionMatrixAtThresholds ConfusionMatrixPlot MultiClassConfusionMatrixAtThresholds "
    "MultiClassConfusionMatrixPlot MultiLabelConfusionMatrixPlot QueryStatistics ScoreDistributionPlot "
    "FalseNegativeFeatureSampler FalsePositiveFeatureSampler "
    # Of images, texts, sets and feature attributions.
    "Bleu COCOAveragePrecision COCOAverageRecall COCOMeanAveragePrecision COCOMeanAverageRecall ExactMatch MaxRecall "
    "MeanAbsoluteAttributions MeanAttributions ObjectDetectionConfusionMatrixPlot ObjectDetectionMaxRecall "
    "ObjectDetectionPrecision ObjectDetectionPrecisionAtRecall ObjectDetectionRecall "
    "ObjectDetectionThresholdAtRecall Rouge SemanticSegmentationConfusionMatrix SemanticSegmentationFalsePositive "
    "SemanticSegmentationTruePositive SetMatchPrecision SetMatchRecall TotalAbsoluteAttributions TotalAttributions "
    # Of two models' predictions, of a feature's own values, of weighted rows, or of one-hot labels.
    "BooleanFlipRates ModelCosineSimilarity NegToNegFlipRate NegToPosFlipRate PosToNegFlipRate PosToPosFlipRate "
    "SymmetricFlipRate SymmetricPredictionDifference Mean WeightedExampleCount CategoricalCrossEntropy"
)
NO_NUMBER_OF_ROWS_AND_SCORES = frozenset(_OTHERS.split())
"""TFMA's other metrics, which do not make one number of a model's scores on labelled rows."""

COUNTS = frozenset(
    ["ExampleCount", "FN", "FP", "TN", "TP", "FalseNegatives", "FalsePositives", "TrueNegatives", "TruePositives"]
)
"""Those that count rows."""

_ANY_NUMBER, _POSITIVE, _SHARE, _SIGNED = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0), (-1.0, 1.0)

_RANGES = {
    _SIGNED: "CoefficientOfDiscrimination Informedness Markedness MatthewsCorrelationCoefficient",
    _POSITIVE: "BinaryCrossEntropy BinaryCrossentropy DiagnosticOddsRatio LogCoshError MeanAbsoluteError "
    "MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError MinLabelPosition NegativeLikelihoodRatio "
    "PositiveLikelihoodRatio RelativeCoefficientOfDiscrimination RootMeanSquaredError SparseCategoricalCrossentropy "
    + " ".join(sorted(COUNTS)),
    _ANY_NUMBER: "Calibration MeanLabel MeanPrediction Poisson",
}
_RANGE_OF = {name: bounds for bounds, names in _RANGES.items() for name in names.split()}
_OF_BINARY = {
    "Calibration": _POSITIVE,
    **dict.fromkeys(["MeanAbsoluteError", "MeanLabel", "MeanPrediction", "MeanSquaredError"], _SHARE),
    "RootMeanSquaredError": _SHARE,
}
"""Labels of 0 and 1 and predictions between them."""


def range_of(class_name: str, task: str) -> tuple[float, float]:
    """Returns the least and the largest value that a metric can have: 0 to 1 for most."""
    own = _OF_BINARY.get(class_name) if task == BINARY else None
    return own or _RANGE_OF.get(class_name, _SHARE)


DEFAULT_METRICS = {
    # Keras' BinaryCrossentropy clips predictions of exactly 0 and 1; TFMA's BinaryCrossEntropy is NaN for them.
    BINARY: (
        "ExampleCount",
        "AUC",
        "AUCPrecisionRecall",
        "BinaryAccuracy",
        "BinaryCrossentropy",
        "Calibration",
        "Precision",
        "Recall",
    ),
    MULTICLASS: ("ExampleCount", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "AUC"),
    MULTILABEL: (
        "ExampleCount",
        "AUC",
        "AUCPrecisionRecall",
        "BinaryAccuracy",
        "BinaryCrossentropy",
        "Precision",
        "Recall",
    ),
    RANKING: ("ExampleCount", "NDCG", "MinLabelPosition"),
    REGRESSION: (
        "ExampleCount",
        "MeanAbsoluteError",
        "MeanSquaredError",
        "RootMeanSquaredError",
        "MeanLabel",
        "MeanPrediction",
    ),
}
"""What is measured when the policy names no metrics."""

MAIN_METRIC = {
    BINARY: "AUC",
    MULTICLASS: "SparseCategoricalAccuracy",
    MULTILABEL: "AUC",
    RANKING: "NDCG",
    REGRESSION: "RootMeanSquaredError",
}
"""What the default policy judges by."""

NDCG_PLACES = 10
"""How many places NDCG looks at where its settings do not say: `top_k_list`."""

UNDEFINED_FOR_ONE_CLASS = frozenset({"AUC", "AUCPrecisionRecall"})
"""TFMA gives 0 for these where the rows hold one class only; a rank among one class, or of one row, means nothing."""


_WITH_OWN_THRESHOLDS = frozenset(
    [
        *UNDEFINED_FOR_ONE_CLASS,
        *("PrecisionAtRecall", "RecallAtFalsePositiveRate", "RecallAtPrecision", "SensitivityAtSpecificity"),
        *("SpecificityAtSensitivity", "ThresholdAtRecall"),
    ]
)

_JUDGING_CLASSES = frozenset(
    [name for name, known in METRICS.items() if known.per_class and name not in _WITH_OWN_THRESHOLDS]
    + ["BinaryAccuracy", "BinaryIoU"]
)


def judges_named_class(class_name: str, settings: Mapping[str, Any]) -> bool:
    """Returns whether a metric of two classes is about the class that a model names, not about its probabilities.

    It is then taken at the model's own threshold, unless its settings give one.
    """
    return class_name in _JUDGING_CLASSES and not {"threshold", "thresholds"} & settings.keys()


def result_name(class_name: str) -> str:
    """Returns the name under which a metric is reported, such as `auc_precision_recall` for `AUCPrecisionRecall`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()
