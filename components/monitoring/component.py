"""The KFP interface of monitoring: a window of live traffic judged, and whether to retrain."""

from typing import List, NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("monitoring"), install_kfp_package=False)
def monitor_endpoint(
    logs: str,
    version_uri: str,
    monitoring: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    hours: float = 0.0,
    as_of: str = "",
    journal: str = "",
    policy: str = "",
    labels: str = "",
    labels_query: str = "",
    label_key: List[str] = ["id", "row"],  # noqa: B006
    target: str = "",
) -> NamedTuple("Monitored", healthy=bool, reasons=str, requests=int, window=str):  # type: ignore[valid-type]
    """Judges a window of KServe's payload logs against the version that is served. Switch caching off for this step.

    Args:
        logs: Folder, file or pattern of KServe's payload records (Parquet, CSV, JSON): a path, `gs://` or `s3://`.
        version_uri: The published version that is served, from `resolve_champion`.
        monitoring: `monitoring.json` (everything that was found) and `FeatureStats.pb` (TFDV's statistics of it).
        report: A self-contained page with pictures over time.
        hours: How long the window is; 0: every record in the logs.
        as_of: When the window ends (ISO 8601); empty: now.
        journal: Folder that keeps windows and decisions between runs; empty: `.monitoring/<name>` in the
            models root if that is a bucket, else the local root's `monitoring/<name>`.
        policy: Limits, thresholds, quality, a business metric and when to retrain, as YAML or the path of a .yaml file.
        labels: Files of labels that have come (Parquet or CSV); empty: quality is not judged.
        labels_query: DuckDB SQL over the table `source` that gives the key columns and `label`.
        label_key: What labels are joined by: `id` and `row` (the request's id, the row's place in it), or features.
        target: The endpoint, such as `kserve://team/flights`: records of another namespace are left out and counted.

    Returns:
        healthy: True only if everything was judged and nothing is an alarm.
        reasons: What is wrong, one sentence each, separated by newlines; empty if healthy.
        requests: Requests in the window.
        window: The window's key in the journal.
    """
    from mainspring.components.monitoring.monitor_endpoint import monitor_endpoint

    return monitor_endpoint(
        logs=logs,
        version_uri=version_uri,
        monitoring=monitoring.path,
        report=report.path,
        hours=hours,
        as_of=as_of,
        journal=journal,
        policy=policy,
        labels=labels,
        labels_query=labels_query,
        label_key=label_key,
        target=target,
    )


@dsl.component(base_image=image("monitoring"), install_kfp_package=False)
def decide_retraining(monitoring: dsl.Input[dsl.Artifact], journal: str = "", policy: str = "") -> NamedTuple(
    "Decided", retrain=bool, reason=str
):  # type: ignore[valid-type]
    """Decides whether a window's findings are worth a new model. Switch caching off for this step.

    Debounced by the policy's `retrain`: a minimum of traffic, a cool-down, a cap per week, an age after which a model
    is trained anew anyway. Every decision is kept in the journal with its reason.

    Args:
        monitoring: From `monitor_endpoint`.
        journal: As in `monitor_endpoint`.
        policy: As in `monitor_endpoint`.

    Returns:
        retrain: Whether to train a new model.
        reason: Why, or why not, in a sentence.
    """
    from mainspring.components.monitoring.decide_retraining import decide_retraining

    return decide_retraining(monitoring=monitoring.path, journal=journal, policy=policy)
