"""`mainspring promote`: what one environment serves, served in another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.printing import AS_JSON, ROOT, print_rows, say
from mainspring.pipelines.local_root import use_root

COLUMNS = ("version", "endpoint", "replaced", "promoted_from", "model_fingerprint")


@click.command(short_help="Serve in one environment what another one serves.")
@click.argument("pipeline", required=False)
@click.option("--from", "source", required=True, metavar="WHERE", help="An environment, a target, or a version's URI.")
@click.option("--to", "goal", required=True, metavar="WHERE", help="An environment, or a target.")
@click.option("--models-root", default="", metavar="URI", help="Of --to, where that is a target.")
@click.option("--rollout", default="", metavar="STEPS", help="Such as 0,10,100. [default: the environment's, else 100]")
@click.option("--serving-policy", default="", metavar="YAML", help="How a cluster serves it; text or a file.")
@click.option("--approved-by", default="", metavar="NAME", help="Recorded in the version.")
@click.option("--unjudged", default="", metavar="WHY", help="Replace a model that this one was never judged against.")
@click.option("--project", "file", default="mainspring.yaml", show_default=True, help="The project's file.")
@ROOT
@AS_JSON
def promote(
    pipeline: str | None,
    source: str,
    goal: str,
    models_root: str,
    rollout: str,
    serving_policy: str,
    approved_by: str,
    unjudged: str,
    file: str,
    root: Path | None,
    as_json: bool,
) -> None:
    """Serve at --to the very version that --from serves: the same model by its digest, nothing trained again.

    Every file is compared with its digest. The model must be blessed, and judged against what it
    replaces, or against something that has replaced that since. PIPELINE is the project's whose target
    is meant; it can be left out where there is one.

    \b
    mainspring promote --from staging --to prod
    mainspring promote --from kserve://staging/flights --to kserve://prod/flights --models-root gs://prod/models
    """
    from mainspring.components.deployment.promote_model import promote_model
    from mainspring.pipelines import environments

    begun, ended = _place(source, pipeline, file), _place(goal, pipeline, file)
    use_root(root)
    if ended["target"].startswith("local://"):
        environments.ensure(["serving"], say)
    done = promote_model(
        begun["target"],
        ended["target"],
        models_root=models_root or ended.get("models_root", ""),
        rollout=rollout or ended.get("rollout") or "100",
        serving_policy=serving_policy or ended.get("serving_policy", ""),
        approved_by=approved_by,
        unjudged=unjudged,
    )
    print_rows([done._asdict()], as_json, "", COLUMNS)


def _place(where: str, pipeline: str | None, file: str) -> dict[str, Any]:
    """Returns target, models root and rollout of an environment's pipeline; of a URI, itself."""
    if "/" in where:
        return {"target": where}
    from mainspring.pipelines.project import in_environment, project_file

    project = project_file.read(Path(file))
    environment = project.environment(where)
    if pipeline is None and len(project.pipelines) > 1:
        raise UserError(f"{file}: has several pipelines ({', '.join(project.pipelines)}); say which one")
    chosen = project.pipeline(pipeline or next(iter(project.pipelines)))
    values = in_environment.compiled(project, environment, chosen).values
    if not values.get("target"):
        raise UserError(f"{file}: {chosen.name} has no target in {where}")
    return values
