"""The KFP interface of validation: TFDV's statistics, schema and anomalies, and a verdict that can stop a run."""

from typing import List, NamedTuple

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
    key: List[str] = [],  # noqa: B006
    exclude: List[str] = [],  # noqa: B006
    timestamp: str = "",
    max_age_days: float = 0.0,
    serving_statistics_uri: str = "",
    slices: List[str] = [],  # noqa: B006
    beam_options: List[str] = [],  # noqa: B006
    accept: List[str] = [],  # noqa: B006
) -> NamedTuple("Validated", valid=bool, reasons=str, terms=str):  # type: ignore[valid-type]
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
        key: Columns whose values together must not lie in train and in eval; empty: not checked.
        exclude: Columns that training leaves out, and that therefore refuse nothing.
        timestamp: Column that says when a row is from (ISO 8601, a date such as 20261231, or an epoch).
        max_age_days: The newest row may be this old.
        serving_statistics_uri: TFDV's statistics of what was served (a FeatureStats.pb, or the folder that holds it):
            skew is measured against them. Empty: not checked.
        slices: Columns for each of whose values the statistics hold a dataset as well, named as TFDV names slices.
        beam_options: Apache Beam's pipeline options, such as `--runner=DataflowRunner`: statistics are computed there,
            by TFDV's Beam API. Empty: here, without Beam.
        accept: Columns that are meant to be otherwise from now on (added, dropped, renamed, of new values or another
            type): the schema learns them anew from these rows.

    Returns:
        valid: True only if every check was made and none failed.
        reasons: What is wrong, one sentence each, separated by newlines; empty if valid.
        terms: Until when the verdict holds, where that depends on the day, for `confirm_verdict`: a cached verdict
            knows nothing of the days since.
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
        key=key,
        exclude=exclude,
        timestamp=timestamp,
        max_age_days=max_age_days,
        serving_statistics_uri=serving_statistics_uri,
        slices=slices,
        beam_options=beam_options,
        accept=accept,
    )


@dsl.component(base_image=image("validation"), install_kfp_package=False)
def confirm_verdict(valid: bool, reasons: str, terms: str) -> NamedTuple("Confirmed", valid=bool, reasons=str):  # type: ignore[valid-type]
    """Refuses what was valid when it was judged and has run out since. Switch caching off for this step.

    It costs next to nothing, so that `validate_examples` itself can be answered from the cache: an allowance that has
    expired and data that have grown too old are seen all the same.

    Args:
        valid: From `validate_examples`.
        reasons: From `validate_examples`.
        terms: From `validate_examples`.

    Returns:
        valid: Whether the examples are valid now.
        reasons: What is wrong, one sentence each, separated by newlines; empty if valid.
    """
    from mainspring.components.validation.confirm_verdict import confirm_verdict

    return confirm_verdict(valid=valid, reasons=reasons, terms=terms)
