"""The KFP interface of evaluation: TFMA's metrics for challenger and champion on the same rows, and the verdict."""

from typing import NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("evaluation"), install_kfp_package=False)
def evaluate_model(
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    champion_uri: str = "",
    policy: str = "",
) -> NamedTuple("Evaluated", blessed=bool, reasons=str):  # type: ignore[valid-type]
    """Measures the model on the eval split, overall and by slice, against bounds and against the champion.

    Args:
        examples: From `ingest_examples`; its eval split is used.
        model: The challenger, from `train_model`.
        evaluation: `evaluation.json` (metrics, gates, verdict) and TFMA's `EvalConfig` as `eval_config.pbtxt`.
        metrics: The overall metrics, for the Kubeflow UI.
        report: A self-contained page.
        champion_uri: The published version to beat; empty if none is served.
        policy: What to measure and to ask, as YAML or the path of a YAML file; empty: the task's usual metrics overall,
            better than a trivial predictor, and not worse than the champion beyond what chance in the rows and in
            training explains.

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
    )
