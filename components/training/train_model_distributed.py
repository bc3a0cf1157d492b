"""Trains on many machines: one TrainJob, whose first worker publishes what `train_model` would."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, kubernetes_api, storage
from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.common.kubernetes_api import Api
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.choosing import kinds
from mainspring.components.training.distributed import following, pod, runtimes, train_job
from mainspring.components.training.distributed.api_refusals import PATIENCE_SECONDS
from mainspring.components.training.distributed.cancelling import removing_when_cancelled
from mainspring.components.training.distributed.following import Followed
from mainspring.components.training.distributed.owner_references import owner_references
from mainspring.components.training.distributed.pools import read_pool
from mainspring.components.training.distributed.train_job import Request
from mainspring.components.training.fitting.threshold_rule import checked_rule
from mainspring.components.training.reporting.figures import Metrics

MOST_NODES = 1024
CHECKPOINTS = "-checkpoints"
"""What follows the output's name in that of the checkpoints, where none is named."""


@dataclass(frozen=True)
class Outputs:
    """Where everything goes in the end."""

    model: Path
    report: Path
    logs: Path
    metrics: Metrics


def train_model_distributed(
    *,
    examples: str,
    schema: str,
    label: str,
    model: str,
    model_uri: str,
    metrics: Metrics,
    report: str,
    logs: str,
    nodes: int = 2,
    runtime: str = "mainspring-tensorflow",
    pool: str = "",
    hyperparameters: str = "",
    task: str = "auto",
    exclude: Sequence[str] = (),
    model_kind: str = kinds.NETWORK,
    rises_with: str = "",
    threshold: str = "",
    cost: str = "",
    module: str = "",
    parent_uri: str = "",
    warm_start: bool = False,
    precision: str = "",
    checkpoints: str = "",
    namespace: str = "",
    queue: str = "",
    image: str = "",
    timeout: int = 86400,
    pause: float = 5.0,
) -> str:
    """Submits a TrainJob, follows it, and brings its model home; `component.py` documents the other parameters.

    Args:
        examples: URI that the workers can read.
        schema: Likewise.
        label: The label's column.
        model: Folder to publish.
        model_uri: The same as the workers can write it; they do so beside it.
        metrics: Gets training's last figures.
        report: HTML file to write.
        logs: Folder for TensorBoard's event file.
        nodes: Workers; 1 with TPUs.
        runtime: A training runtime.
        pool: From `accelerators.pool`; empty: the runtime's.
        hyperparameters: As `train_model` takes them; so are the eleven that follow.
        task: Binary, multiclass, regression or auto.
        exclude: Columns that are no features.
        model_kind: Several workers make a network only.
        rises_with: What predictions may only do as a quantity rises.
        threshold: Of two classes.
        cost: Of their errors.
        module: The team's own code.
        parent_uri: The version to replace.
        warm_start: Whether to start from it.
        precision: Keras' name of it.
        checkpoints: Folder; empty: beside the model, until the training is done.
        namespace: Of the TrainJob; empty: this pod's.
        queue: Kueue's local queue.
        image: Instead of the runtime's.
        timeout: Seconds until the job is ended.
        pause: Seconds between two looks at it.

    Returns:
        The fingerprint of the SavedModel's files.

    Raises:
        UserError: A parameter is wrong, the cluster refuses the job, or the training failed.
        SystemExit: The step was cancelled; the job is removed.
    """
    if not 1 <= nodes <= MOST_NODES:
        raise UserError(f"nodes is {nodes}; it must be 1 to {MOST_NODES}")
    if timeout < 1:
        raise UserError(f"timeout is {timeout}; it must be 1 s or more")
    for name, uri in {"examples": examples, "schema": schema, "model": model_uri}.items():
        pod.check_reachable(name, uri)
    given = hyper.as_mapping(hyperparameters)
    kinds.checked_kind(model_kind, module, nodes)
    checked_rule(threshold, cost)
    hyper.checked(given)  # Here, not in the pods: nodes with accelerators may take minutes to come.
    output = f"{model_uri.rstrip('/')}-trainjob"
    where = read_pool(pool)
    order = {
        "examples": examples,
        "schema": schema,
        "label": label,
        "output": output,
        "hyperparameters": given,
        "task": hyper.checked_task(task),
        "exclude": list(exclude),
        "model_kind": model_kind if model_kind != kinds.NETWORK else "",
        "rises_with": rises_with,
        "threshold": threshold,
        "cost": cost,
        "module": module,
        "parent_uri": parent_uri,
        "warm_start": warm_start,
        "accelerator": where.accelerator if where else "",
        "precision": precision,
        "checkpoints": checkpoints or f"{output}{CHECKPOINTS}",
    }
    api, namespace = kubernetes_api.connect(PATIENCE_SECONDS), namespace or kubernetes_api.namespace()
    # The same step tried again finds its own job: nobody else writes there.
    name = f"train-{hashlib.sha256(output.encode()).hexdigest()[:10]}"
    with removing_when_cancelled(f"TrainJob {name}", lambda: _give_up(api, namespace, name, order, longest=20)):
        if not pod.is_finished(output):
            request = Request(
                name=name,
                runtime=runtimes.find(api, namespace, runtime),
                nodes=nodes,
                order={key: value for key, value in order.items() if value},
                pool=where,
                image=image,
                queue=queue,
                seconds=timeout,
                owners=owner_references(api, namespace, os.environ),
            )
            try:
                train_job.submit(api, namespace, request)
                following.follow(Followed(api, namespace, name), timeout, pause)
                if not pod.is_finished(output):
                    raise UserError(f"TrainJob {name} is complete, but has left no model in {output}; which image ran?")
            except RetriableError:
                raise  # The next try of this step takes the job over.
            except UserError:
                _give_up(api, namespace, name, order)
                raise
        fingerprint = _bring_home(output, Outputs(Path(model), Path(report), Path(logs), metrics))
        train_job.remove(api, namespace, name)
    return fingerprint


def _give_up(api: Api, namespace: str, name: str, order: Mapping[str, Any], longest: float | None = None) -> None:
    """Removes a job and what it has written: nobody will ask for it again."""
    try:
        train_job.remove(api, namespace, name, longest)
        for written in (order["output"], f"{order['output']}{CHECKPOINTS}"):
            _delete(written)
    except UserError as error:  # Why the training failed is what is to be known.
        print(f"TrainJob {name}: something may be left of it: {error}", flush=True)


def _delete(folder: str) -> None:
    if buckets.is_bucket(folder):
        buckets.delete(buckets.list_objects(folder))
    else:
        shutil.rmtree(storage.as_path(folder), ignore_errors=True)


def _bring_home(output: str, outputs: Outputs) -> str:
    with tempfile.TemporaryDirectory(prefix="mainspring-trained-") as scratch:
        folder = Path(scratch) if buckets.is_bucket(output) else storage.as_path(output)
        if buckets.is_bucket(output):
            buckets.download_tree(output, folder)
        fingerprint = str(storage.read_json(folder / pod.RESULT)["fingerprint"])
        figures = storage.read_json(folder / pod.METRICS)
        outputs.report.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / pod.REPORT, outputs.report)
        shutil.copytree(folder / pod.LOGS, outputs.logs, dirs_exist_ok=True)
        with storage.publishing_directory(outputs.model) as aside:
            shutil.copytree(folder / pod.MODEL, aside, dirs_exist_ok=True)
    for name, value in figures.items():
        outputs.metrics.log_metric(name, value)
    _delete(output)
    return fingerprint
