"""The KFP interface of what a run begins with."""

from typing import Dict, List, NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("ingestion"), install_kfp_package=False)
def resolve_inputs(
    source: str,
    target: str,
    span: str = "latest",
    window: int = 1,
    scheduled_time: str = "",
    exclude: str = "",
    min_spans: int = 1,
    on_too_few: str = "fail",
    due: str = "",
    created: str = "",
    models_root: str = "",
    warm_start: bool = False,
    query: str = "",
    tables: List[str] = [],  # noqa: B006
    types: Dict[str, str] = {},  # noqa: B006
    eval_fraction: float = 0.2,
    split_columns: List[str] = [],  # noqa: B006
    time_column: str = "",
    file_format: str = "auto",
    csv_columns: List[str] = [],  # noqa: B006
    encoding: str = "utf-8",
    missing_words: List[str] = [],  # noqa: B006
    on_refusal: str = "fail",
    approvers: str = "",
    notify_to: List[str] = [],  # noqa: B006
    parts: str = "",
) -> NamedTuple(
    "Inputs",
    spans=str,
    fingerprint=str,
    enough=bool,
    reason=str,
    champion_uri=str,
    baseline_uri=str,
    version=int,
    parent_uri=str,
):  # type: ignore[valid-type]
    """Finds the spans to read and what the target serves, in one pod. Switch caching off for this step.

    It is `resolve_spans` and `resolve_champion` together.

    Args:
        source: Path or pattern of the source's files, as in `resolve_spans`.
        target: `local://<name>` or `kserve://<namespace>/<name>`.
        span: `latest`, a span (`7`, `2026-11-30`), a range (`1-6`, `2026-11-01..2026-11-30`), a list of these or `all`.
        window: With `latest` or one span: that span and the ones before it, this many in all.
        scheduled_time: With `latest` and spans by date: when the run was due, as ISO 8601, or `due` in a recurring run:
            its own due time. The newest span is then the last period that had ended by then.
        exclude: Spans and ranges to leave out.
        min_spans: So many spans must be there at least.
        on_too_few: `fail`, or `skip` to give no spans where there are fewer.
        due: `dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER`.
        created: `dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER`.
        models_root: URI under which versions are published; empty: the local root's `models/`.
        warm_start: Whether `train_model` is to begin with a served model.
        query: As `ingest_examples` gets it, like what follows: if the champion was trained on what these make of the
            very same files, the baseline is the one that they were compared with then.
        tables: As in `ingest_examples`.
        types: As in `ingest_examples`.
        eval_fraction: As in `ingest_examples`.
        split_columns: As in `ingest_examples`.
        time_column: As in `ingest_examples`.
        file_format: As in `ingest_examples`.
        csv_columns: As in `ingest_examples`.
        encoding: As in `ingest_examples`.
        missing_words: As in `ingest_examples`.
        on_refusal: Where data or model are refused: `fail`, or `skip` to end as succeeded with nothing deployed, which
            takes the part `branches`.
        approvers: Public keys by name, as YAML or the path of a YAML file: a person's approval is waited for before a
            deployment, which takes the part `approval`. Empty: nobody is asked.
        notify_to: Who is told how the run ended (`https://…`, `slack:`, `mailto:person@example.com`), which takes the
            part `notification`. Empty: nobody is told.
        parts: The parts that the pipeline was compiled with. What asks for another one is refused here.

    Returns:
        spans: The spans found, such as `1-6`; empty if there are too few and that is to be skipped.
        fingerprint: Changes when a file of these spans is added, removed or rewritten.
        enough: False if there are too few spans and that is to be skipped.
        reason: Why there are too few; else empty.
        champion_uri: The published version that is served; empty if there is none.
        baseline_uri: The published version whose data is the baseline for these examples; empty if there is none.
        version: The served version; 0 if there is none.
        parent_uri: For `train_model`, with `warm_start`.
    """
    from mainspring.components.loop.resolve_inputs import resolve_inputs

    return resolve_inputs(
        source=source,
        target=target,
        span=span,
        window=window,
        scheduled_time=scheduled_time,
        exclude=exclude,
        min_spans=min_spans,
        on_too_few=on_too_few,
        due=due,
        created=created,
        models_root=models_root,
        warm_start=warm_start,
        query=query,
        tables=tables,
        types=types,
        eval_fraction=eval_fraction,
        split_columns=split_columns,
        time_column=time_column,
        file_format=file_format,
        csv_columns=csv_columns,
        encoding=encoding,
        missing_words=missing_words,
        on_refusal=on_refusal,
        approvers=approvers,
        notify_to=notify_to,
        parts=parts,
    )
