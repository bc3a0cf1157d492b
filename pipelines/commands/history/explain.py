"""`mainspring explain`: where a served model comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mainspring.pipelines.commands.printing import AS_JSON, ROOT
from mainspring.pipelines.local_root import root_or_default, use_root

FILES_SHOWN = 12


@click.command(short_help="Say where a served model comes from.")
@click.argument("target")
@click.option("--version", type=click.IntRange(min=1), help="Another version of the same model. [default: the served]")
@click.option(
    "--approvals", default="", metavar="URI", help="Where approvals are kept. [default: approvals/ in the root]"
)
@click.option("--target", "targets", multiple=True, metavar="TARGET", help="Also ask whether this one serves it.")
@ROOT
@AS_JSON
def explain(
    target: str, version: int | None, approvals: str, targets: tuple[str, ...], root: Path | None, as_json: bool
) -> None:
    """Say which run made the version that TARGET serves, from which files, by which code, and who approved it.

    TARGET is local://NAME or kserve://NAMESPACE/NAME; or the folder, gs:// or s3:// URI of a published
    version, or of a model, whose newest version is meant.

    \b
    mainspring explain local://flights
    mainspring explain kserve://team/flights --approvals s3://team/approvals
    mainspring explain gs://team/models/flights --version 3 --json
    """
    from mainspring.pipelines.history import lineage

    use_root(root)
    found = lineage.explain(target, version or 0, root_or_default(root), approvals, targets)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2), file=click.get_current_context().obj)
        return
    for name, fact in _facts(found).items():
        lines = fact.splitlines() or [""]
        click.echo(f"{name + ':':<18}{lines[0]}")
        for line in lines[1:]:
            click.echo(f"{'':<18}{line}")


def _facts(found: Any) -> dict[str, str]:
    from mainspring.components.common.report import number_text

    figure = f"{found.metric} {number_text(found.challenger)}" if found.metric else "not recorded"
    judged = f"{figure}; champion {number_text(found.champion)} ({found.judged_against})"
    if not found.judged_against:
        judged = f"{figure}; a first model, judged against no champion"
    if found.rebaselined:
        judged = f"{figure}; the champion was left out: {found.rebaselined}"
    libraries = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    served = [f"{each['target']} since {each['since']}{_until(each['until'])}" for each in found.served]
    return {
        "version": f"{found.name} {found.version}, published {found.created} ({found.uri})",
        "model": found.model_fingerprint,
        "run": f"{found.run or 'not recorded'}{f' ({found.run_page})' if found.run_page else ''}",
        "data": f"{found.source or 'not recorded'}, spans {','.join(found.spans)} ({found.examples_fingerprint})",
        "files": "\n".join(_files(found.files)) or "not recorded: it was published by an older Mainspring",
        "query": " ".join(found.query.split()) or "none: the source as it is",
        "compared with": found.baseline or "no earlier data",
        "schema": found.schema_fingerprint,
        "code": f"Mainspring {found.code or 'not recorded'}{f'; {found.module}' if found.module else ''}",
        "lock": f"{found.lock or 'not recorded'}\n{libraries}",
        "judged": judged,
        "approved by": found.approved_by or "nobody was asked",
        **({"promoted from": found.promoted_from} if found.promoted_from else {}),
        "served": "\n".join(served) or "nowhere that was asked; name a target with --target",
        **({"withdrawn": found.withdrawn} if found.withdrawn else {}),
    }


def _until(until: str) -> str:
    return f" until {until}" if until else ", and now"


def _files(files: list[dict[str, Any]]) -> list[str]:
    shown = []
    for file in files[:FILES_SHOWN]:
        mark = f"sha256:{file['sha256'][:16]}…" if file.get("sha256") else f"generation {file.get('generation')}"
        shown.append(f"{file.get('uri')} ({int(file.get('bytes') or 0):,} bytes, {mark})")
    return shown + ([f"and {len(files) - FILES_SHOWN} more; --json has all"] if len(files) > FILES_SHOWN else [])
