"""The KFP interface of validation: TFDV's statistics, schema and anomalies, and a verdict that can stop a run."""

from typing import NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("validation"), install_kfp_package=False)
def validate_examples(
    examples: dsl.Input[dsl.Dataset],
    label: str,
    statistics: dsl.Output[dsl.Artifact],
    schema: dsl.Output[dsl.Artifact],
    anomalies: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    schema_uri: str = "",
    baseline_uri: str = "",
    min_rows: int = 100,
    policy: str = "",
) -> NamedTuple("Validated", valid=bool, reasons=str):  # type: ignore[valid-type]
    """Computes statistics per split, validates them against a schema and a baseline, and says whether to go on.

    Args:
        examples: From `ingest_examples`.
        label: The label's column.
        statistics: `<split>/FeatureStats.pb` and `newest/FeatureStats.pb` (the newest span alone), as TFDV's protos.
        schema: `schema.pbtxt`: the schema that was used, given, taken over from the baseline, or inferred.
        anomalies: `anomalies.pbtxt` (TFDV's proto) and `validation.json` (verdict and reasons).
        report: A self-contained page.
        schema_uri: A curated `schema.pbtxt`. Empty: the baseline's schema; without a baseline it is inferred.
        baseline_uri: A published model version (or a folder with `schema.pbtxt` and `statistics/`) whose data these
            examples are compared with for drift.
        min_rows: Fewer rows than this in train, or none in eval, is an anomaly.
        policy: Severity by anomaly and feature, what is allowed until when and why, and limits, as YAML or the path of
            a .yaml file; empty: every anomaly but repeated rows is an error.

    Returns:
        valid: True only if every check was made and none failed.
        reasons: What is wrong, one sentence each, separated by newlines; empty if valid.
    """
    from mainspring.components.validation.validate_examples import validate_examples

    return validate_examples(
        examples=examples.path,
        label=label,
        statistics=statistics.path,
        schema=schema.path,
        anomalies=anomalies.path,
        report=report.path,
        schema_uri=schema_uri,
        baseline_uri=baseline_uri,
        min_rows=min_rows,
        policy=policy,
    )
