"""`mainspring doctor`: what is missing, each in one line with its fix."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.cluster_options import cluster_options, connected

if TYPE_CHECKING:
    from mainspring.pipelines.doctor.findings import Finding


@click.command()
@click.argument("compiled", nargs=-1, type=click.Path(path_type=Path))
@click.option("--cluster/--no-cluster", default=True, help="Whether to look at the cluster too. [default: cluster]")
@click.option("--context", default="", help="Of the kubeconfig. [default: the current one]")
@click.option("--service-account", default="", help="Of the runs: its rights are looked at, rather than yours.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@cluster_options
def doctor(
    compiled: tuple[Path, ...], cluster: bool, context: str, service_account: str, as_json: bool, **where: Any
) -> None:
    """Check this machine and the cluster; say in one line each what is missing and how to mend it.

    For each COMPILED pipeline, its node pools and images are looked for. The exit status is 1 if
    something needs mending.
    """
    found = []
    for finding in _findings(compiled, cluster, context, service_account, where):
        found.append(finding)
        if not as_json:
            click.echo(finding.line())
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    if any(finding.state == "wrong" for finding in found):
        raise SystemExit(1)


def _findings(
    compiled: tuple[Path, ...], cluster: bool, context: str, account: str, where: dict[str, Any]
) -> Iterator[Finding]:
    from mainspring.pipelines.cluster.connection import NAMESPACE_VARIABLE
    from mainspring.pipelines.doctor import cluster as checks
    from mainspring.pipelines.doctor import findings, images, machine, needs

    wanted = needs.needs_of(compiled)
    yield from machine.check_machine()
    if not cluster:
        return
    namespace = where["namespace"] or os.environ.get(NAMESPACE_VARIABLE, "")
    try:
        connection = connected(where)
        namespace = connection.namespace or namespace
        users = f"several users, namespace {connection.namespace}" if connection.namespace else "one user"
        yield findings.Finding("Kubeflow Pipelines", findings.OK, f"API v2beta1 at {connection.api.url}, {users}")
    except UserError as error:
        yield findings.Finding("Kubeflow Pipelines", findings.WRONG, str(error))
    try:
        kubernetes = checks.Kubernetes(context)
    except UserError as error:
        yield findings.Finding("Kubernetes", findings.WRONG, str(error))
    else:
        yield from checks.check_cluster(kubernetes, namespace or "kubeflow", wanted, account)
    yield from images.check_images(wanted.images)
