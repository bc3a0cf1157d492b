"""What each pod of a TrainJob runs: `python -m mainspring.components.training.distributed.pod`.

Every worker does the same training; the first one publishes it. What to train comes as JSON in `MAINSPRING_TRAINING`:
`train_model`'s parameters, with URIs for examples and schema, and `output`, the folder to publish in.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import ERROR_PREFIX, MISTAKE_STATUS, RetriableError, UserError
from mainspring.components.training.hardware import worker_role
from mainspring.components.training.reporting.figures import Figures

ORDER = "MAINSPRING_TRAINING"
MODEL, REPORT, LOGS, METRICS = "model", "report.html", "logs", "metrics.json"
RESULT = "result.json"
"""Written last: with it, the folder holds a finished training."""


def main() -> None:
    """Trains as one worker of the pod's cluster.

    Raises:
        UserError: The pod's environment or the order is wrong, or training refuses its input.
    """
    order = read_order(os.environ)
    os.environ["TF_CONFIG"] = worker_role.tf_config(os.environ)  # TensorFlow reads it when a strategy is made.
    output = order.pop("output")
    if is_finished(output):
        print(f"{output}: holds a finished training already", flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="mainspring-output-") as scratch:
        if fingerprint := _train(order, Path(scratch)):
            publish(Path(scratch), output, fingerprint)


def read_order(variables: Mapping[str, str]) -> dict[str, Any]:
    """Returns what is to be trained.

    Raises:
        UserError: It is missing or no JSON object with the parameters that it must have.
    """
    try:
        order = json.loads(variables.get(ORDER, ""))
    except ValueError as error:
        raise UserError(f"{ORDER}: must be a JSON object with train_model's parameters: {error}") from error
    if not isinstance(order, dict):
        raise UserError(f"{ORDER}: must be a JSON object with train_model's parameters")
    missing = [name for name in ("examples", "schema", "label", "output") if not order.get(name)]
    if missing:
        raise UserError(f"{ORDER}: {', '.join(missing)} missing")
    return order


def check_reachable(name: str, uri: str) -> None:
    """Refuses a URI that a TrainJob's pods could not read or write.

    Raises:
        UserError: It is neither in a bucket nor a path.
    """
    if "://" in uri and not buckets.is_bucket(uri) and not uri.startswith("file://"):
        raise UserError(
            f"{name}: {uri} cannot be reached by a TrainJob's workers, which read and write gs:// and s3://; run the "
            "pipeline with such a root"
        )


def is_finished(output: str) -> bool:
    """Returns whether the folder holds a finished training."""
    if buckets.is_bucket(output):
        return buckets.stat(buckets.join(output, RESULT)) is not None
    return (storage.as_path(output) / RESULT).is_file()


def publish(scratch: Path, output: str, fingerprint: str) -> None:
    """Copies a training's files to where the order wants them; the result is written last.

    What an attempt that was cut short left there is removed first.
    """
    result = json.dumps({"fingerprint": fingerprint})
    if buckets.is_bucket(output):
        buckets.delete(buckets.list_objects(output))
        buckets.upload_tree(scratch, output)
        buckets.create(buckets.join(output, RESULT), result.encode())
        return
    target = storage.as_path(output)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in scratch.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, target / path.name)
    storage.write_atomically(target / RESULT, result)


def _train(order: dict[str, Any], scratch: Path) -> str:
    from mainspring.components.training.train_model import train_model

    figures = Figures()
    for name in ("examples", "schema"):
        if buckets.is_bucket(order[name]):
            order[name] = str(buckets.local_copy(order[name]))
    fingerprint = train_model(
        **order,
        model=str(scratch / MODEL),
        metrics=figures,
        report=str(scratch / REPORT),
        logs=str(scratch / LOGS),
    )
    if fingerprint:
        storage.write_json(scratch / METRICS, figures.values)
    return fingerprint


def ending_by_status(run: Callable[[], None]) -> None:
    """Runs what a pod does, and ends the process by `MISTAKE_STATUS` where a user's mistake ended it.

    A runtime's `podFailurePolicy` knows that status: the same mistake would be made at every restart.
    """
    try:
        run()
    except RetriableError:
        raise
    except UserError as error:
        print(f"{ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
        raise SystemExit(MISTAKE_STATUS) from error


if __name__ == "__main__":
    ending_by_status(main)
