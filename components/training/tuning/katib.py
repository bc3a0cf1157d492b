"""Tuning on a cluster: a Katib Experiment whose trials are TrainJobs of one worker, and what it found.

`python -m mainspring.components.training.tuning.katib experiment …` prints the object, to review and apply. `… best`
reads the object as the cluster has it and prints the hyperparameters that `train_model` takes. `… trial` is what a
trial's pod runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported.

from mainspring.components.common.errors import UserError
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.distributed import pod, train_job
from mainspring.components.training.distributed.pools import Pool
from mainspring.components.training.distributed.runtimes import Runtime
from mainspring.components.training.distributed.train_job import NEWER, Request
from mainspring.components.training.tuning.search_space import Dimension, merged, nested, searched

METRIC = "eval_loss"
CONTAINER = "node"
"""Trainer's name of the container that trains."""
ALGORITHM = "tpe"
PLAIN = "[], ."
"""What a choice keeps as it is; the rest is percent-encoded: Katib puts values into a trial's JSON without quoting."""
MODULE = "mainspring.components.training.tuning.katib"


@dataclass(frozen=True)
class Tuning:
    """What is searched, on what, and where."""

    name: str
    """Of the object."""
    order: Mapping[str, Any]
    """What every trial trains on: `examples` and `schema` (URIs that a pod can read), `label`, and so on."""
    space: tuple[Dimension, ...]
    fixed: Mapping[str, Any]
    """Hyperparameters that are not searched."""
    count: int
    """Trials."""
    parallel: int
    """Trials at a time."""
    runtime: Runtime
    seed: int = 20131
    """Of the search."""
    image: str = ""
    """The trials' image; empty: the runtime's."""
    pool: Pool | None = None
    """None: the runtime's."""
    queue: str = ""
    """Kueue's local queue."""


def experiment(tuning: Tuning, form: str = NEWER) -> dict[str, Any]:
    """Returns the Experiment, `kubeflow.org/v1beta1`, whose trials are TrainJobs in one of their forms."""
    trial_parameters = [{"name": _reference(one), "reference": _reference(one)} for one in tuning.space]
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": tuning.name, "labels": {"app.kubernetes.io/part-of": "mainspring"}},
        "spec": {
            "objective": {
                "type": "minimize",
                "objectiveMetricName": METRIC,
                "metricStrategies": [{"name": METRIC, "value": "min"}],
            },
            "algorithm": {
                "algorithmName": ALGORITHM,
                "algorithmSettings": [{"name": "random_state", "value": str(tuning.seed)}],
            },
            "maxTrialCount": tuning.count,
            "parallelTrialCount": min(tuning.parallel, tuning.count),
            "maxFailedTrialCount": tuning.count // 2,
            "parameters": [_parameter(one) for one in tuning.space],
            "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
            "trialTemplate": {
                "primaryContainerName": CONTAINER,
                # Katib would delete a trial's TrainJob before its log is read; who follows the trials does so after.
                "retain": True,
                "trialParameters": trial_parameters,
                "trialSpec": train_job.train_job(trial_of(tuning), form),
            },
        },
    }


def trial_of(tuning: Tuning, name: str = "") -> Request:
    """Returns what each trial submits, with Katib's placeholders for what is searched.

    Katib joins a container's command and arguments by blanks and gives them to a shell as they are, unless they are one
    already: so this quotes, and Katib's values hold no quote (`_parameter`).
    """
    given = [f"--set={one.name}=${{trialParameters.{_reference(one)}}}" for one in tuning.space]
    words = ["python3", "-m", MODULE, "trial", f"--order={json.dumps(tuning.order)}"]
    words += [f"--fixed={json.dumps(tuning.fixed)}", *given]
    return Request(
        name=name,
        runtime=tuning.runtime,
        command=("sh", "-c", shlex.join(words)),
        pool=tuning.pool,
        image=tuning.image,
        queue=tuning.queue,
    )


def values_of(assigned: Mapping[str, str], space: Sequence[Dimension]) -> dict[str, Any]:
    """Returns hyperparameters by name from what Katib assigned to a trial."""
    return _typed({one.name: assigned[_reference(one)] for one in space if _reference(one) in assigned})


def best(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the best trial's hyperparameters, those that were fixed too.

    Args:
        found: The Experiment as the cluster has it.

    Raises:
        UserError: No trial has succeeded so far, or this is no such Experiment.
    """
    try:
        trial = found.get("status", {}).get("currentOptimalTrial", {})
        command = shlex.split(found["spec"]["trialTemplate"]["trialSpec"]["spec"]["trainer"]["command"][2])
        fixed = next(part.removeprefix("--fixed=") for part in command if part.startswith("--fixed="))
        names = dict(_split(part.removeprefix("--set=")) for part in command if part.startswith("--set="))
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        raise UserError("experiment: is none that `mainspring tuning katib` wrote") from error
    assigned = {given["name"]: given["value"] for given in trial.get("parameterAssignments") or []}
    if not assigned:
        raise UserError("experiment: no trial has succeeded so far; look at it with kubectl describe experiment")
    values = {name: assigned[reference[len("${trialParameters.") : -1]] for name, reference in names.items()}
    chosen = merged(json.loads(fixed), _typed(values))
    hyper.checked(chosen)
    return chosen


def run_trial(order: Mapping[str, Any], fixed: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Trains one trial and prints `eval_loss=…` after each epoch, where Katib's collector reads it.

    Raises:
        UserError: The training failed.
    """
    from mainspring.components.training.fitting.epoch import Epoch
    from mainspring.components.training.rows.spill_folder import scratch_folder
    from mainspring.components.training.tuning.trial_worker import TrialWorker

    def told(epoch: Epoch) -> bool:
        print(f"{METRIC}={epoch.eval_loss:.6f}", flush=True)
        return False

    with scratch_folder() as scratch:
        TrialWorker(order, scratch).run(merged(fixed, _typed(values)), told)


def main(arguments: Sequence[str]) -> None:
    """Runs one of the commands."""
    parser = argparse.ArgumentParser(prog="katib")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("experiment")
    for name in ("name", "image", "order", "space", "fixed", "runtime"):
        made.add_argument(f"--{name}", default="")
    made.add_argument("--count", type=int, default=20)
    made.add_argument("--parallel", type=int, default=3)
    commands.add_parser("best")
    trial = commands.add_parser("trial")
    trial.add_argument("--order", required=True)
    trial.add_argument("--fixed", default="{}")
    trial.add_argument("--set", action="append", default=[], dest="values")
    given = parser.parse_args(arguments)
    if given.command == "experiment":
        fixed = hyper.as_mapping(given.fixed)
        hyper.checked(fixed)
        asked = (
            json.loads(given.order),
            searched(given.space, fixed),
            fixed,
            given.count,
            given.parallel,
            Runtime(given.runtime),
        )
        print(json.dumps(experiment(Tuning(given.name, *asked, image=given.image)), indent=2))
    elif given.command == "best":
        print(json.dumps(best(_object(sys.stdin.read()))))
    else:
        run_trial(json.loads(given.order), json.loads(given.fixed), dict(map(_split, given.values)))


def _parameter(dimension: Dimension) -> dict[str, Any]:
    name = _reference(dimension)
    if dimension.choices:
        listed = [quote(json.dumps(choice), safe=PLAIN) for choice in dimension.choices]
        return {"name": name, "parameterType": "categorical", "feasibleSpace": {"list": listed}}
    space = {"min": str(dimension.low), "max": str(dimension.high)}
    space |= {"step": str(dimension.step)} if dimension.step else {}
    space |= {"distribution": "logUniform" if dimension.log else "uniform"}
    return {"name": name, "parameterType": "int" if dimension.is_integer else "double", "feasibleSpace": space}


def _reference(dimension: Dimension) -> str:
    return dimension.name.replace(".", "-")


def _split(assignment: str) -> tuple[str, str]:
    name, _, value = assignment.partition("=")
    return name, value


def _typed(values: Mapping[str, str]) -> dict[str, Any]:
    """Returns the values as JSON reads them."""
    return nested({name: json.loads(unquote(text)) for name, text in values.items()})


def _object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"experiment: not JSON: {error}; give what kubectl get experiment NAME -o json prints"
        ) from error
    if not isinstance(content, dict):
        raise UserError("experiment: no object; give what kubectl get -o json prints")
    return content


if __name__ == "__main__":
    pod.ending_by_status(lambda: main(sys.argv[1:]))
