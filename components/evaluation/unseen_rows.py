"""Which eval rows the champion was not trained on: on rows that it knows by heart, no comparison means anything.

Two runs deal a row alike if the same decides its side (`split` in the examples' manifest). Where something else does,
another `eval_fraction` or other `split_columns` for example, a span that both runs read has rows that were train then
and are eval now. Such spans are left out of the evaluation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common import manifests, published
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ExamplesManifest

TRAIN, EVAL = "train", "eval"


@dataclass(frozen=True)
class Unseen:
    """What of the eval split can be compared."""

    left_out: frozenset[str] = frozenset()
    """The spans that the champion was trained on, dealt otherwise."""
    why: str = ""
    """Why they are left out, or why nobody knows whether any should be; empty if neither is so."""
    nothing_left: bool = False
    """Whether no span is left to compare on."""


def unseen_rows(examples: ExamplesManifest, champion_uri: str) -> Unseen:
    """Returns which spans' eval rows the champion may have been trained on.

    Args:
        examples: The challenger's.
        champion_uri: The published version; empty if none is served. One that does not say how its rows were dealt is
            compared on all rows, and that is said.
    """
    try:
        served = published.content(champion_uri, manifests.EXAMPLES_FILE) if champion_uri else None
    except UserError:  # A champion that cannot be read cannot be measured either, which is said then.
        served = None
    if not champion_uri or not examples.split:
        return Unseen()
    if not isinstance(served, dict) or not served.get("split"):
        return Unseen(why="the champion does not say how its rows were dealt, so it may know some of these by heart")
    if served.get("fingerprint") == examples.fingerprint or _deal_alike(served["split"], examples.split):
        return Unseen()
    shared = frozenset(examples.spans) & frozenset(served.get("spans", []))
    if not shared or not _have_common_files(served.get("source", {}), examples.source):
        return Unseen()
    why = (
        "the champion was trained on rows that are eval rows now: "
        f"its rows were dealt by {_in_words(served['split'])}, these by {_in_words(examples.split)}"
    )
    return Unseen(shared, why, nothing_left=shared >= frozenset(examples.spans))


@contextlib.contextmanager
def only_unseen(examples: Path, manifest: ExamplesManifest, unseen: Unseen) -> Iterator[tuple[Path, ExamplesManifest]]:
    """Yields the examples without the eval rows of the spans that are left out: a folder of links, and its manifest."""
    if not unseen.left_out or unseen.nothing_left:
        yield examples, manifest
        return
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / EVAL).mkdir()
        (Path(folder) / TRAIN).symlink_to((examples / TRAIN).absolute(), target_is_directory=True)
        kept = [path for path in sorted((examples / EVAL).glob("*.parquet")) if path.stem not in unseen.left_out]
        for path in kept:
            (Path(folder) / EVAL / path.name).symlink_to(path.absolute())
        rows = sum(pq.read_metadata(path).num_rows for path in kept)
        yield Path(folder), dataclasses.replace(manifest, rows={**manifest.rows, EVAL: rows})


def _deal_alike(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    if then.get("by") != now.get("by") or then.get("by") != "time":
        return then == now
    # What was newest then is older than what is newest now; with an earlier cut, rows would change their side.
    try:
        return bool(then["column"] == now["column"] and then["cut"] <= now["cut"])
    except (KeyError, TypeError):
        return False


def _have_common_files(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return then.get("uri") == now.get("uri") or bool(_identities(then) & _identities(now))


def _identities(source: Mapping[str, Any]) -> set[str]:
    files = source.get("files", [])
    return {str(file.get("sha256") or (file.get("uri"), file.get("generation"))) for file in files}


def _in_words(split: Mapping[str, Any]) -> str:
    said = {"by", "query", "hash"} | ({"columns"} if split["by"] == "source rows" else set())
    others = ", ".join(f"{name} {value}" for name, value in split.items() if name not in said)
    return f"{split['by']} ({others})" if others else str(split["by"])
