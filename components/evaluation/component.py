"""The KFP interfaces of evaluation: the verdict on a model, and bulk inference."""

from typing import List, NamedTuple, Optional

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("evaluation"), install_kfp_package=False)
def evaluate_model(
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    classification_metrics: dsl.Output[dsl.ClassificationMetrics],
    champion_uri: str = "",
    policy: str = "",
    on_broken_champion: str = "refuse",
    beam_options: List[str] = [],  # noqa: B006
) -> NamedTuple("Evaluated", blessed=bool, reasons=str):  # type: ignore[valid-type]
    """Measures the model on the eval split, overall and by slice, against bounds and against the champion.

    Args:
        examples: From `ingest_examples`; its eval split is used.
        model: The challenger, from `train_model`.
        evaluation: `evaluation.json` (metrics, gates, verdict) and TFMA's `EvalConfig` as `eval_config.pbtxt`.
        metrics: The overall metrics, for the Kubeflow UI.
        report: A self-contained page.
        classification_metrics: The challenger's ROC curve and confusion matrix, for the Kubeflow UI.
        champion_uri: The published version to beat; empty if none is served. The versions published beside it are the
            history that the report shows.
        policy: What to measure and to ask, as YAML or the path of a YAML file; empty: the task's usual metrics overall,
            better than a trivial predictor, and not worse than the champion beyond what chance in the rows and in
            training explains.
        on_broken_champion: Where the champion cannot be loaded or no longer fits the schema: `refuse` the challenger,
            or `rebaseline`: judge it as a first model, which `evaluation.json`, the report and the manifest of the
            published version then say.
        beam_options: Options of an Apache Beam runner, such as `--runner=FlinkRunner`, for predictions by many workers,
            which must reach examples and models; empty: here. The verdict is the same.

    Returns:
        blessed: True only if every gate was judged and passed.
        reasons: What was asked and missed, one sentence each, separated by newlines; empty if blessed.
    """
    from mainspring.components.evaluation.evaluate_model import evaluate_model

    return evaluate_model(
        examples=examples.path,
        model=model.path,
        evaluation=evaluation.path,
        metrics=metrics,
        report=report.path,
        champion_uri=champion_uri,
        policy=policy,
        on_broken_champion=on_broken_champion,
        beam_options=beam_options,
        classification_metrics=classification_metrics,
    )


@dsl.component(base_image=image("evaluation"), install_kfp_package=False)
def predict_batch(
    model: dsl.Input[dsl.Model],
    predictions: dsl.Output[dsl.Dataset],
    examples: Optional[dsl.Input[dsl.Dataset]] = None,
    source: str = "",
    split: str = "all",
    columns: List[str] = [],  # noqa: B006
) -> NamedTuple("Predicted", rows=int, unusable=int):  # type: ignore[valid-type]
    """Predicts every row of the examples, or of Parquet or CSV files, in bounded memory.

    Args:
        model: From `train_model`, or any other with a manifest and a `serving_default` signature.
        predictions: A Parquet file for each file read, rows in their order, with `prediction` (where there are several
            classes `prediction_<class>`) and, in classification, `predicted_class` or `predicted_classes`; and
            `manifest.json`. Of examples: `<split>/<span>.parquet`.
        examples: From `ingest_examples`; labels are not needed. Or:
        source: Parquet or CSV files, here or in a bucket: a file, a folder or a pattern.
        split: Of the examples: `train`, `eval` or `all`.
        columns: Columns to repeat; empty: all.

    Returns:
        rows: How many were predicted.
        unusable: How many of them have no usable prediction (NaN, infinite or no probability): null in the output.
    """
    from mainspring.components.evaluation.predict_batch import predict_batch

    return predict_batch(
        model=model.path,
        predictions=predictions.path,
        examples=examples.path if examples else "",
        source=source,
        split=split,
        columns=columns,
    )
