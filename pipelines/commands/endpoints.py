"""`mainspring endpoints`: the local endpoints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from mainspring.pipelines.commands.printing import AS_JSON, ROOT, print_rows, say
from mainspring.pipelines.local_root import use_root

ENDPOINT = ("name", "state", "version", "url", "problem")
"""What `endpoints` shows of an endpoint; `--json` shows all of it."""


@click.group()
def endpoints() -> None:
    """Show, stop and start the local endpoints."""


@endpoints.command("list")
@ROOT
@AS_JSON
def endpoints_list(root: Path | None, as_json: bool) -> None:
    """List the local endpoints with what they serve."""
    from mainspring.components.deployment.local import local_target

    use_root(root)
    print_rows([asdict(endpoint) for endpoint in local_target.list_endpoints()], as_json, "no endpoints", ENDPOINT)


@endpoints.command("stop", short_help="Stop an endpoint; it keeps version and port.")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Stop every endpoint.")
@ROOT
@AS_JSON
def endpoints_stop(name: str | None, everything: bool, root: Path | None, as_json: bool) -> None:
    """Stop the endpoint NAME; its version and port are kept for `endpoints start`."""
    from mainspring.components.deployment.local import local_target

    if bool(name) == everything:
        raise click.UsageError("say which endpoint, or --all")
    use_root(root)
    stopped = local_target.stop_all() if everything else [local_target.stop(str(name))]
    print_rows([asdict(endpoint) for endpoint in stopped], as_json, "no endpoints", ENDPOINT)


@endpoints.command("start", short_help="Bring an endpoint back as it was.")
@click.argument("name")
@ROOT
@AS_JSON
def endpoints_start(name: str, root: Path | None, as_json: bool) -> None:
    """Bring the endpoint NAME back with the version it served last, on its port."""
    from mainspring.components.deployment.local import local_target
    from mainspring.pipelines import environments

    environments.ensure(["serving"], say)
    use_root(root)
    print_rows([asdict(local_target.start(name))], as_json, "", ENDPOINT)
