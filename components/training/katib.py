"""Tuning on a cluster: a Katib Experiment whose trials run this package's image, and what it found.

`python -m mainspring.components.training.katib experiment …` prints the object, to review and apply; `… best` reads the
object as the cluster has it and prints the hyperparameters that `train_model` takes; `… trial` is what a trial's pod
runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported.

from mainspring.components.common.errors import UserError
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.search import Dimension, nested, read_space

METRIC = "eval_loss"
CONTAINER = "training"
USER = 65532
"""The images' own, who may do nothing else."""


def experiment(
    name: str, image: str, order: Mapping[str, Any], space: str, fixed: str, count: int, parallel: int
) -> dict[str, Any]:
    """Returns the Experiment, `kubeflow.org/v1beta1`.

    Args:
        name: Of the object.
        image: The training image.
        order: What every trial trains on: `examples` and `schema` (URIs that a pod can read), `label`, and so on.
        space: As `search.read_space` takes it.
        fixed: JSON of hyperparameters that are not searched.
        count: Trials.
        parallel: Trials at a time.

    Raises:
        UserError: The space or a hyperparameter is wrong.
    """
    dimensions = read_space(space)
    hyper.checked(fixed)
    given = [f"--set={one.name}=${{trialParameters.{_reference(one)}}}" for one in dimensions]
    module = "mainspring.components.training.katib"
    command = ["python", "-m", module, "trial", f"--order={json.dumps(order)}", f"--fixed={fixed or '{}'}", *given]
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {
            "objective": {
                "type": "minimize",
                "objectiveMetricName": METRIC,
                "metricStrategies": [{"name": METRIC, "value": "min"}],
            },
            "algorithm": {"algorithmName": "tpe"},
            "maxTrialCount": count,
            "parallelTrialCount": min(parallel, count),
            "maxFailedTrialCount": count // 2,
            "parameters": [_parameter(one) for one in dimensions],
            "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
            "trialTemplate": {
                "primaryContainerName": CONTAINER,
                "trialParameters": [{"name": _reference(one), "reference": _reference(one)} for one in dimensions],
                "trialSpec": _job(image, command),
            },
        },
    }


def best(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the best trial's hyperparameters, those that were fixed too.

    Args:
        found: The Experiment as the cluster has it.

    Raises:
        UserError: No trial has succeeded so far, or this is no such Experiment.
    """
    try:
        trial = found.get("status", {}).get("currentOptimalTrial", {})
        command = found["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]["command"]
        fixed = next(part.removeprefix("--fixed=") for part in command if part.startswith("--fixed="))
        names = dict(_split(part.removeprefix("--set=")) for part in command if part.startswith("--set="))
    except (KeyError, IndexError, TypeError, StopIteration) as error:
        raise UserError("experiment: is none that `mainspring tuning katib` wrote") from error
    assigned = {given["name"]: given["value"] for given in trial.get("parameterAssignments") or []}
    if not assigned:
        raise UserError("experiment: no trial has succeeded so far; look at it with kubectl describe experiment")
    values = {name: assigned[reference[len("${trialParameters.") : -1]] for name, reference in names.items()}
    chosen = json.loads(fixed) | _typed(values)
    hyper.checked(chosen)
    return chosen


def run_trial(order: Mapping[str, Any], fixed: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Trains one trial and prints `eval_loss=…` after each epoch, where Katib's collector reads it.

    Raises:
        UserError: The training failed.
    """
    from mainspring.components.training.scratch import scratch_folder
    from mainspring.components.training.trial_worker import TrialWorker
    from mainspring.components.training.watching import Epoch

    def told(epoch: Epoch) -> bool:
        print(f"{METRIC}={epoch.eval_loss:.6f}", flush=True)
        return False

    with scratch_folder() as scratch:
        TrialWorker(order, scratch).run(dict(fixed) | _typed(values), told)


def main(arguments: Sequence[str]) -> None:
    """Runs one of the commands."""
    parser = argparse.ArgumentParser(prog="katib")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("experiment")
    for name in ("name", "image", "order", "space", "fixed"):
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
        order = json.loads(given.order)
        made_of = (given.space, given.fixed, given.count, given.parallel)
        print(json.dumps(experiment(given.name, given.image, order, *made_of), indent=2))
    elif given.command == "best":
        print(json.dumps(best(_object(sys.stdin.read()))))
    else:
        run_trial(json.loads(given.order), json.loads(given.fixed), dict(map(_split, given.values)))


def _parameter(dimension: Dimension) -> dict[str, Any]:
    name = _reference(dimension)
    if dimension.choices:
        listed = [json.dumps(choice) for choice in dimension.choices]
        return {"name": name, "parameterType": "categorical", "feasibleSpace": {"list": listed}}
    space = {"min": str(dimension.low), "max": str(dimension.high)}
    space |= {"step": str(dimension.step)} if dimension.step else {}
    space |= {"distribution": "logUniform"} if dimension.log else {}
    return {"name": name, "parameterType": "int" if dimension.is_integer else "double", "feasibleSpace": space}


def _job(image: str, command: list[str]) -> dict[str, Any]:
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "command": command,
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    # A mesh's sidecar would keep the pod running after its training has ended.
    metadata = {"annotations": {"sidecar.istio.io/inject": "false"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"backoffLimit": 1, "template": {"metadata": metadata, "spec": pod}},
    }


def _reference(dimension: Dimension) -> str:
    return dimension.name.replace(".", "-")


def _split(assignment: str) -> tuple[str, str]:
    name, _, value = assignment.partition("=")
    return name, value


def _typed(values: Mapping[str, str]) -> dict[str, Any]:
    """Returns the values as JSON reads them; a word that is no JSON is text."""
    typed: dict[str, Any] = {}
    for name, text in values.items():
        try:
            typed[name] = json.loads(text)
        except ValueError:
            typed[name] = text
    return nested(typed)


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
    main(sys.argv[1:])
