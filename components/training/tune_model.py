"""Searches for hyperparameters: many trainings of the same examples, the hopeless ones cut short."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.reporting.figures import Metrics
from mainspring.components.training.reporting.tuning_report import Trial, tuning_page
from mainspring.components.training.tuning.search_space import Dimension, merged, nested, searched
from mainspring.components.training.tuning.trials import TrialFailed, Workers

MAX_TRIALS = 10_000
MAX_PARALLEL = 256
PROCESSORS_PER_TRIAL = 2
TRIALS_WITHOUT_PRUNING = 4
"""So many are trained to their end before any is cut short, to have something to compare with."""


def tune_model(
    *,
    examples: str,
    schema: str,
    label: str,
    trials: str,
    metrics: Metrics,
    report: str,
    space: str = "",
    count: int = 20,
    parallel: int = 0,
    timeout_seconds: float = 0.0,
    hyperparameters: str | Mapping[str, Any] = "",
    task: str = "auto",
    exclude: Sequence[str] = (),
    module: str = "",
    accelerator: str = "",
    seed: int = 20131,
) -> str:
    """Trains `count` trials and returns the best one's hyperparameters; `component.py` documents the parameters.

    Returns:
        JSON, as `train_model` takes it: those given, and those found.

    Raises:
        UserError: A parameter is out of range, the inputs do not fit together, or no trial succeeded.
    """
    given = hyper.as_mapping(hyperparameters)
    hyper.checked(given, seed=seed)
    dimensions = searched(space, given)
    count = hyper.checked_count("count", count, 1, MAX_TRIALS)
    parallel = hyper.checked_count("parallel", parallel, 0, MAX_PARALLEL)
    hyper.checked_task(task)
    timeout = hyper.checked_seconds("timeout_seconds", timeout_seconds) if timeout_seconds else None
    gpus = 0 if accelerator.startswith("cpu") else _gpus()
    processes = min(parallel or gpus or max((os.cpu_count() or 1) // PROCESSORS_PER_TRIAL, 1), count)
    order = {
        "examples": examples,
        "schema": schema,
        "label": label,
        "task": task,
        "exclude": list(exclude),
        "module": module,
        "accelerator": accelerator,
    }
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # Its warnings are tracebacks of failed trials.
    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=processes > 1),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=TRIALS_WITHOUT_PRUNING),
    )
    print(f"{count} trials, {processes} at a time, over {', '.join(one.name for one in dimensions)}", flush=True)
    workers = Workers(order, processes, gpus)
    try:
        study.optimize(
            lambda trial: _value(trial, workers, dimensions, given, seed),
            n_trials=count,
            timeout=timeout,
            n_jobs=processes,
            catch=TrialFailed,
            callbacks=[lambda study, trial: _say(study, trial, count)],
        )
    finally:
        workers.close()
    found = [_described(trial) for trial in study.trials if trial.state.is_finished()]
    succeeded = [trial for trial in found if trial.state == "complete"]
    if not succeeded:
        reasons = [trial.error for trial in found if trial.error]
        raise UserError(f"space: no trial succeeded; the last one: {reasons[-1] if reasons else 'was cut short'}")
    best = min(succeeded, key=lambda trial: trial.eval_loss)
    chosen = json.dumps(merged(given, best.hyperparameters))
    storage.write_json(Path(trials), [trial.as_json() for trial in found])
    storage.write_atomically(Path(report), tuning_page(label, found, best, chosen))
    figures = {"best_eval_loss": best.eval_loss, "trials": len(found), "trials_complete": len(succeeded)}
    for name, value in figures.items():
        metrics.log_metric(name, float(value))
    print(f"best of {len(found)}: trial {best.number}, eval loss {best.eval_loss:.4f}: {chosen}", flush=True)
    return chosen


def _value(
    trial: optuna.Trial, workers: Workers, dimensions: Sequence[Dimension], given: dict[str, Any], seed: int
) -> float:
    tried = nested({dimension.name: dimension.suggest(trial) for dimension in dimensions})
    trial.set_user_attr("hyperparameters", tried)
    try:
        result = workers.run(trial, merged({"seed": seed} | given, tried))
    except TrialFailed as error:
        trial.set_user_attr("error", str(error))
        raise
    for name in ("metric", "epochs", "seconds"):
        trial.set_user_attr(name, result[name])
    if result["stopped"]:
        raise optuna.TrialPruned
    return float(result["eval_loss"])


def _described(trial: optuna.trial.FrozenTrial) -> Trial:
    seen = list(trial.intermediate_values.values())
    return Trial(
        number=trial.number + 1,
        state={"COMPLETE": "complete", "PRUNED": "cut short"}.get(trial.state.name, "failed"),
        hyperparameters=trial.user_attrs.get("hyperparameters", {}),
        eval_loss=trial.value if trial.value is not None else min(seen, default=float("nan")),
        metric=trial.user_attrs.get("metric", float("nan")),
        epochs=trial.user_attrs.get("epochs", len(seen)),
        seconds=trial.user_attrs.get("seconds", 0.0),
        error=trial.user_attrs.get("error", ""),
    )


def _say(study: optuna.Study, frozen: optuna.trial.FrozenTrial, count: int) -> None:
    trial = _described(frozen)
    done = sum(other.state.is_finished() for other in study.trials)
    outcome = trial.error or f"eval loss {trial.eval_loss:.4f} after {trial.epochs} epochs, {trial.seconds:.0f} s"
    print(f"trial {trial.number} ({done}/{count}) {trial.state}: {outcome}; {trial.hyperparameters}", flush=True)


def _gpus() -> int:
    """Counts GPUs without importing TensorFlow, whose processes are to have them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() and part.strip() != "-1"])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
