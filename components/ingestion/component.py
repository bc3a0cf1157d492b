"""The KFP interface of ingestion: which spans there are, and their rows as train and eval examples."""

from typing import Dict, List, NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("ingestion"), install_kfp_package=False)
def resolve_spans(
    source: str,
    span: str = "latest",
    window: int = 1,
    scheduled_time: str = "",
    exclude: str = "",
    min_spans: int = 1,
    on_too_few: str = "fail",
    due: str = "",
    created: str = "",
) -> NamedTuple("Resolved", spans=str, fingerprint=str, enough=bool, reason=str):  # type: ignore[valid-type]
    """Finds the spans to read now, so that what depends on them is cached while the data stays the same.

    Switch caching off for this step, and only for this one: a source that changed gives another fingerprint, and
    every later step runs again.

    Args:
        source: Path or pattern of the source's files, such as `data/flights-{SPAN}.parquet` or
            `gs://bucket/{YYYY}/{MM}/{DD}/*.csv.gz` (s3:// too), or BigQuery's `bq://project.dataset.events_{YYYY}{MM}{DD}`
            or `bq://project?SELECT …`. In braces may stand a number, SPAN, or a
            date, YYYY MM DD HH, and VERSION: of each span's versions the highest is read.
        span: `latest`, a span (`7`, `2026-11-30`), a range (`1-6`, `2026-11-01..2026-11-30`), a list of these or `all`.
        window: With `latest` or one span: that span and the ones before it, this many in all.
        scheduled_time: With `latest` and spans by date: when the run was due, as ISO 8601, or `due` in a recurring run:
            its own due time. The newest span is then the last period that had ended by then, so that a late or
            repeated run reads what it was meant to read. `[[ScheduledTime]]` means the same as `due`.
        exclude: Spans and ranges to leave out.
        min_spans: So many spans must be there at least.
        on_too_few: `fail`, or `skip` to give no spans where there are fewer.
        due: For `scheduled_time=due`: give `dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER`.
        created: For `scheduled_time=due`: give `dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER`. Where both are the same,
            KFP did not know the due time, and the run is refused.

    Returns:
        spans: The spans found, such as `1-6`; `all` if the source's pattern has no span; empty if there are too few and
            that is to be skipped.
        fingerprint: Changes when a file of these spans is added, removed or rewritten.
        enough: False if there are too few spans and that is to be skipped.
        reason: Why there are too few; else empty.
    """
    from mainspring.components.ingestion.resolve_spans import resolve_spans

    return resolve_spans(
        source=source,
        span=span,
        window=window,
        scheduled_time=scheduled_time,
        exclude=exclude,
        min_spans=min_spans,
        on_too_few=on_too_few,
        due=due,
        created=created,
    )


@dsl.component(base_image=image("ingestion"), install_kfp_package=False)
def ingest_examples(
    source: str,
    examples: dsl.Output[dsl.Dataset],
    spans: str = "latest",
    query: str = "",
    eval_fraction: float = 0.2,
    split_columns: List[str] = [],  # noqa: B006 (KFP compiles it; nobody can change it)
    source_fingerprint: str = "",
    time_column: str = "",
    tables: List[str] = [],  # noqa: B006
    file_format: str = "auto",
    csv_columns: List[str] = [],  # noqa: B006
    encoding: str = "utf-8",
    types: Dict[str, str] = {},  # noqa: B006
    missing_words: List[str] = [],  # noqa: B006
    baseline_uri: str = "",
    schema_uri: str = "",
    accept: List[str] = [],  # noqa: B006
) -> NamedTuple("Ingested", fingerprint=str, train_rows=int, eval_rows=int):  # type: ignore[valid-type]
    """Reads the source's spans, shapes the rows by SQL, splits them and writes the examples artifact.

    Args:
        source: Path or pattern of the source's files, as in `resolve_spans`. Where SPLIT stands in braces, the files'
            own `train` or `eval` decides the side.
        examples: `train/` and `eval/` with a Parquet file per span, and `manifest.json`.
        spans: As `resolve_spans` gives them; also `latest`, or anything that its `span` may be.
        query: DuckDB SQL that makes the rows from the table `source` and the `tables`; applied to each span by itself.
            Empty: `FROM source`.
        eval_fraction: Share of the rows that goes to eval, between 0 and 1. The same row falls on the same side in
            every run.
        split_columns: Columns whose values decide the side; empty: all columns.
        source_fingerprint: From `resolve_spans`: the run stops if the files have changed since.
        time_column: The newest rows by this column, a number or a time, go to eval: train on older, evaluate on newer.
        tables: Further tables for the query, each as `name=path or pattern`, such as `weather=data/weather.csv`.
        file_format: `parquet`, `csv`, `jsonl`, `tfrecord` (of tf.Example), or `auto`: by the files' endings (.gz too).
        csv_columns: Names for CSV files without a header; empty: the first line is the header.
        encoding: Of CSV and JSON files, such as `latin-1`.
        types: What columns are, before the query sees them, such as `{zip: string, member: boolean, joined: timestamp,
            day: date %d.%m.%Y, price: double comma}`. Of the others all values decide.
        missing_words: Words that stand for a missing value in every column. Empty: NA, null and the like, in columns
            that are no text.
        baseline_uri: The version whose data came before, from `resolve_champion`: what a column of the files was then,
            it is read as now, and what cannot be read as that is refused. Empty: the values decide.
        schema_uri: A curated `schema.pbtxt` that says it instead. With a query it is of the rows that the query makes.
        accept: Columns that are meant to be otherwise from now on: their values decide.

    Returns:
        fingerprint: Of the examples' content: equal for equal rows, whatever the files' layout.
        train_rows: Rows in train.
        eval_rows: Rows in eval.
    """
    from mainspring.components.ingestion.ingest_examples import ingest_examples

    return ingest_examples(
        source=source,
        examples=examples.path,
        spans=spans,
        query=query,
        eval_fraction=eval_fraction,
        split_columns=split_columns,
        source_fingerprint=source_fingerprint,
        time_column=time_column,
        tables=tables,
        file_format=file_format,
        csv_columns=csv_columns,
        encoding=encoding,
        types=types,
        missing_words=missing_words or None,
        baseline_uri=baseline_uri,
        schema_uri=schema_uri,
        accept=accept,
    )
