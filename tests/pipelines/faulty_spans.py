"""A pipeline that ends where data are refused: the first half of `continuous_training`."""

from kfp import dsl

from mainspring.components import confirm_verdict, ingest_examples, refuse_run, resolve_spans, validate_examples


@dsl.pipeline(name="data-gate")
def data_gate(
    source: str,
    query: str = "",
    key: list[str] = [],  # noqa: B006
    timestamp: str = "",
    max_age_days: float = 0.0,
    eval_fraction: float = 0.2,
    types: dict[str, str] = {},  # noqa: B006
):
    found = resolve_spans(source=source)
    found.set_caching_options(False)
    ingested = ingest_examples(
        source=source,
        spans=found.outputs["spans"],
        source_fingerprint=found.outputs["fingerprint"],
        query=query,
        eval_fraction=eval_fraction,
        types=types,
    )
    validated = validate_examples(
        examples=ingested.outputs["examples"],
        label="late",
        key=key,
        timestamp=timestamp,
        max_age_days=max_age_days,
    )
    confirmed = confirm_verdict(
        valid=validated.outputs["valid"], reasons=validated.outputs["reasons"], terms=validated.outputs["terms"]
    )
    with dsl.If(confirmed.outputs["valid"] == True, name="valid"):  # noqa: E712
        confirm_verdict(valid=True, reasons="", terms="")  # Where training would stand.
    with dsl.Else(name="refused"):
        refuse_run(stage="data", reasons=confirmed.outputs["reasons"])
