"""The options of the commands that talk to a cluster. Secrets come from the environment: a command line can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mainspring.pipelines.cluster import Cluster

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option("--host", default="", help="Address of Kubeflow Pipelines. [default: $KF_PIPELINES_ENDPOINT]"),
    click.option("-n", "--namespace", default="", help="Your profile's namespace. [default: $MAINSPRING_NAMESPACE]"),
    click.option("--ui-host", default="", help="Where people open the UI, if not at --host."),
    click.option("--iap-client-id", default="", help="OAuth client id of Google's Identity-Aware Proxy."),
    click.option("--ca-file", default="", help="Certificates of the authorities to trust."),
    click.option("--insecure", is_flag=True, help="Do not check the server's certificate."),
    click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds that an answer may take."),
)
IMAGES = (
    click.option(
        "--registry", default="", help="Put this before every image of Mainspring's: registry.example.com/team."
    ),
    click.option(
        "--digests", type=click.Path(path_type=Path), help="Name the images as in this file of `images push`."
    ),
)


def cluster_options(command: Command) -> Command:
    """Adds the options that say where the cluster is; the command takes them as `**where`."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def image_options(command: Command) -> Command:
    """Adds the options that name the images of what is compiled."""
    for option in reversed(IMAGES):
        command = option(command)
    return command


def connected(where: dict[str, Any]) -> Cluster:
    """Connects to the cluster that the options name."""
    from mainspring.pipelines.cluster import connect

    return connect(
        where["host"],
        namespace=where["namespace"],
        ui_host=where["ui_host"],
        iap_client_id=where["iap_client_id"],
        ca_file=where["ca_file"],
        verify=not where["insecure"],
        seconds=where["timeout"],
    )
