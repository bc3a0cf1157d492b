"""Pipelines that hand on a value of each type, to a component that writes down what arrives."""

from kfp import dsl

from mainspring.components.common.images import image

LINES = "SELECT *\nFROM source\x07"


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def write_down(
    out: str,
    text: str,
    texts: list[str],
    numbers: dict[str, float],
    anything: list,
    whole: int,
    share: float,
    switch: bool,
    due: str,
):
    """Writes down what arrives."""
    import json
    from pathlib import Path

    Path(out).write_text(json.dumps([text, texts, numbers, anything, whole, share, switch, due]))


@dsl.pipeline(name="inner")
def inner(out: str, text: str, texts: list, numbers: dict, anything: list, whole: int, share: float, switch: bool):
    """Hands everything on, so that the elements' types are known one level down only."""
    write_down(
        out=out,
        text=text,
        texts=texts,
        numbers=numbers,
        anything=anything,
        whole=whole,
        share=share,
        switch=switch,
        due=f"due {dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER}",
    )


@dsl.pipeline(name="values")
def values(
    out: str,
    text: str = LINES,
    texts: list[str] = [],  # noqa: B006
    numbers: dict = {"a": 1},  # noqa: B006
    anything: list = [],  # noqa: B006
    whole: int = 1,
    share: float = 0.5,
    switch: bool = False,
):
    """Takes a parameter of each type."""
    inner(
        out=out,
        text=text,
        texts=texts,
        numbers=numbers,
        anything=anything,
        whole=whole,
        share=share,
        switch=switch,
    )


@dsl.pipeline(name="dollars")
def dollars(out: str, text: str = "$$"):
    """Has a default that a cluster would change."""
    write_down(out=out, text=text, texts=[], numbers={}, anything=[], whole=1, share=1.0, switch=True, due="")
