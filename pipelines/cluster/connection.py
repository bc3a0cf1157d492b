"""`connect`: where the cluster is and who asks; and what can be asked of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster import logins
from mainspring.pipelines.cluster.rest import READ_SECONDS, Api, Missing
from mainspring.pipelines.cluster.server import API, Server

if TYPE_CHECKING:
    from mainspring.pipelines.cluster.runs import Run
    from mainspring.pipelines.cluster.schedule_changes import Change

HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"
UI_VARIABLE = "KF_PIPELINES_UI_ENDPOINT"
EXPERIMENT_VARIABLE = "KF_PIPELINES_DEFAULT_EXPERIMENT_NAME"
"""KFP's own names, so that a notebook that is set up for kfp is set up for this."""
NAMESPACE_VARIABLE = "MAINSPRING_NAMESPACE"
IN_CLUSTER_HOST = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Cluster(Server):
    """A connection to one namespace of a Kubeflow Pipelines server: what can be asked of it."""

    def submit(
        self,
        pipeline: Any,
        arguments: dict[str, Any] | None = None,
        *,
        experiment: str = "",
        name: str = "",
        registry: str = "",
        digests: Path | None = None,
        caching: bool = True,
        service_account: str = "",
        pipeline_root: str = "",
    ) -> Run:
        """Uploads a pipeline unless its content is there already, and starts a run of it.

        Args:
            pipeline: What `@dsl.pipeline` or `uploads.prepare` returned, or a built-in name, `module:function`, or a
                compiled YAML file.
            arguments: Values of its parameters.
            experiment: Made if there is none of that name; empty: the connection's.
            name: Of the run; empty: the pipeline's with the time.
            registry: Put before every image of Mainspring's.
            digests: A file of `mainspring images push`, by which the images are named instead.
            caching: False: every task runs, even if nothing has changed.
            service_account: That the run's pods use; empty: the cluster's default.
            pipeline_root: Where outputs go, such as `gs://bucket/runs`; empty: the cluster's default.

        Raises:
            UserError: The pipeline or an argument is wrong, or the server refuses.
        """
        from mainspring.pipelines.cluster import runs, uploads

        prepared = uploads.prepare(pipeline, registry=registry, digests=digests, caching=caching, given=arguments)
        values = prepared.typed(arguments or {})
        version = uploads.upload(self, prepared)
        return runs.start(
            self,
            version,
            values,
            experiment=experiment or self.experiment,
            name=name,
            service_account=service_account,
            pipeline_root=pipeline_root,
        )

    def run(self, run_id: str) -> Run:
        """Returns a run that was started before, by its id."""
        from mainspring.pipelines.cluster import runs

        return runs.Run(self, run_id)

    def plan(self, file: str | Path, *, registry: str = "", digests: Path | None = None) -> list[Change]:
        """Returns what `apply` would change to make the cluster's schedules those of a schedules file."""
        from mainspring.pipelines.cluster import schedule_changes, schedule_file

        return schedule_changes.plan(self, schedule_file.read(Path(file)), registry=registry, digests=digests)

    def apply(
        self,
        file: str | Path,
        *,
        prune: bool = False,
        overwrite: bool = False,
        registry: str = "",
        digests: Path | None = None,
        say: Callable[[str], None] = print,
    ) -> list[Change]:
        """Makes the cluster's schedules those of a schedules file.

        Args:
            file: The schedules file.
            prune: Whether to delete this file's schedules that it no longer names.
            overwrite: Whether to replace what was edited in the cluster by what the file says.
            registry: Put before every image of Mainspring's.
            digests: A file of `mainspring images push`, by which the images are named instead.
            say: Is told, line by line, what is done.

        Returns:
            What there was to change, and for each whether it was done.
        """
        from mainspring.pipelines.cluster import schedule_apply, schedule_file

        return schedule_apply.apply(
            self,
            schedule_file.read(Path(file)),
            prune=prune,
            overwrite=overwrite,
            registry=registry,
            digests=digests,
            say=say,
        )


def connect(
    host: str = "",
    *,
    namespace: str = "",
    token: str = "",
    cookie: str = "",
    username: str = "",
    password: str = "",
    iap_client_id: str = "",
    iap_desktop_client: tuple[str, str] | None = None,
    ui_host: str = "",
    experiment: str = "",
    ca_file: str = "",
    verify: bool = True,
    seconds: float = READ_SECONDS,
) -> Cluster:
    """Connects to Kubeflow Pipelines, and asks the server whether it is one.

    What is not given is read from the environment: KF_PIPELINES_ENDPOINT, KF_PIPELINES_UI_ENDPOINT,
    MAINSPRING_NAMESPACE, MAINSPRING_TOKEN, MAINSPRING_COOKIE, MAINSPRING_USERNAME, MAINSPRING_PASSWORD and
    KF_PIPELINES_IAP_OAUTH2_CLIENT_ID. Inside the cluster nothing needs to be given.

    Args:
        host: The API's address, such as `https://kubeflow.example.com/pipeline` or `http://localhost:8080`.
        namespace: The profile's namespace, where the server has several users; in a pod: the pod's own.
        token: A bearer token, for example of `kubectl create token`.
        cookie: A session cookie, `authservice_session=…`.
        username: Of Dex's own user, with `password`.
        password: Of `username`.
        iap_client_id: The OAuth client id of Google's Identity-Aware Proxy before the server.
        iap_desktop_client: Id and secret of an OAuth client of the kind "desktop app", for people rather than service
            accounts.
        ui_host: Where people open the UI, if not at `host`.
        experiment: Of runs and schedules that name none; empty: KFP's own default.
        ca_file: Certificates of the authorities to trust, for a server with a private one.
        verify: False: do not check the server's certificate at all.
        seconds: How long an answer of the server's may take.

    Raises:
        UserError: The server cannot be reached, is no Kubeflow Pipelines server, or wants another login.
    """
    address = host or os.environ.get(HOST_VARIABLE, "")
    if not address and "KUBERNETES_SERVICE_HOST" in os.environ:
        address = IN_CLUSTER_HOST
    if not address:
        raise UserError(
            f"host: is not given; give the address of Kubeflow Pipelines (or set {HOST_VARIABLE}), for example "
            "http://localhost:8080 after `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80`"
        )
    if "://" not in address:
        address = f"https://{address}"
    if ca_file and not Path(ca_file).is_file():
        raise UserError(f"ca_file: {ca_file}: no such file")
    checked: bool | str = (ca_file or True) if verify else False
    credentials = logins.Credentials(token, cookie, username, password, iap_client_id, iap_desktop_client)
    login = logins.login(credentials if credentials.are_given else logins.from_environment(), address, checked)
    api = Api(address, login, verify=checked, seconds=seconds)
    return Cluster(
        api=api,
        namespace=_namespace(api, namespace or os.environ.get(NAMESPACE_VARIABLE, "")),
        ui=(ui_host or os.environ.get(UI_VARIABLE) or ("" if address == IN_CLUSTER_HOST else address)).rstrip("/"),
        experiment=experiment or os.environ.get(EXPERIMENT_VARIABLE) or "Default",
    )


def _namespace(api: Api, given: str) -> str:
    """Asks the server how it is; returns the namespace to work in."""
    try:
        health = api.get(f"{API}/healthz")
    except Missing as error:
        raise UserError(
            f"{api.url}: has no Kubeflow Pipelines API v2beta1 (404); it is older than KFP 2.0, or the address lacks a "
            "path (on Kubeflow it often ends in /pipeline)"
        ) from error
    if not (health.get("multi_user") or health.get("multiUser")):
        return ""
    namespace = given or (POD_NAMESPACE.read_text(encoding="utf-8").strip() if POD_NAMESPACE.is_file() else "")
    if not namespace:
        raise UserError(
            f"{api.url}: has several users, so it needs a namespace: give your profile's (--namespace, or "
            "MAINSPRING_NAMESPACE)"
        )
    return namespace
