"""The KFP interface of ingestion: which spans there are, and their rows as train and eval examples."""

from typing import List, NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("ingestion"), install_kfp_package=False)
def resolve_spans(source: str, span: str = "latest", window: int = 1) -> NamedTuple(
    "Resolved", spans=str, fingerprint=str
):  # type: ignore[valid-type]
    """Finds the spans to read now, so that what depends on them is cached while the data stays the same.

    Switch caching off for this step, and only for this one: a source that changed gives another fingerprint, and
    every later step runs again.

    Args:
        source: Path or pattern of the source's files (CSV or Parquet), such as `data/flights-{SPAN}.parquet`.
        span: `latest`, a span number (`7`), a range (`1-6`), a list (`1,3,5`) or `all`.
        window: With `latest` or a number: that span and the ones before it, this many in all.

    Returns:
        spans: The spans found, such as `1-6`; `all` if the source has no `{SPAN}`.
        fingerprint: Changes when a file of these spans is added, removed or rewritten.
    """
    from mainspring.components.ingestion.resolve_spans import resolve_spans

    return resolve_spans(source=source, span=span, window=window)


@dsl.component(base_image=image("ingestion"), install_kfp_package=False)
def ingest_examples(
    source: str,
    examples: dsl.Output[dsl.Dataset],
    spans: str = "latest",
    query: str = "",
    eval_fraction: float = 0.2,
    split_columns: List[str] = [],  # noqa: B006 (KFP compiles it; nobody can change it)
    source_fingerprint: str = "",
) -> NamedTuple("Ingested", fingerprint=str, train_rows=int, eval_rows=int):  # type: ignore[valid-type]
    """Reads the source's spans, shapes the rows by SQL, splits them and writes the examples artifact.

    Args:
        source: Path or pattern of the source's files (CSV or Parquet), such as `data/flights-{SPAN}.parquet`.
        examples: `train/` and `eval/` with a Parquet file per span, and `manifest.json`.
        spans: `latest`, a span number (`7`), a range (`1-6`), a list (`1,3,5`) or `all`.
        query: DuckDB SQL that makes the rows from the table `source`; applied to each span by itself.
            Empty: `FROM source`.
        eval_fraction: Share of the rows that goes to eval, between 0 and 1. The same row falls on the same side in
            every run.
        split_columns: Columns whose values decide the side; empty: all columns.
        source_fingerprint: From `resolve_spans`: the run stops if the files have changed since.

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
    )
