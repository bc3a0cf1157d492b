"""Searches for hyperparameters on a cluster: one Katib Experiment, each trial a pod of the training image."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainspring.components.common import kubernetes_api, storage
from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.distributed import pod, runtimes
from mainspring.components.training.distributed.api_refusals import PATIENCE_SECONDS
from mainspring.components.training.distributed.cancelling import removing_when_cancelled
from mainspring.components.training.distributed.owner_references import owner_references
from mainspring.components.training.distributed.pools import read_pool
from mainspring.components.training.reporting.figures import Metrics
from mainspring.components.training.reporting.tuning_report import tuning_page
from mainspring.components.training.tuning import experiments, katib
from mainspring.components.training.tuning.katib import Tuning
from mainspring.components.training.tuning.search_space import merged, searched

MAX_TRIALS = 10_000


def tune_model_distributed(
    *,
    examples: str,
    schema: str,
    label: str,
    trials: str,
    trials_uri: str,
    metrics: Metrics,
    report: str,
    space: str = "",
    count: int = 20,
    parallel: int = 3,
    hyperparameters: str | Mapping[str, Any] = "",
    task: str = "auto",
    exclude: Sequence[str] = (),
    module: str = "",
    runtime: str = "mainspring-tensorflow",
    pool: str = "",
    namespace: str = "",
    queue: str = "",
    image: str = "",
    timeout: int = 86400,
    seed: int = 20131,
    pause: float = 10.0,
) -> str:
    """Submits an Experiment, follows its trials and returns the best one's hyperparameters.

    `component.py` documents the other parameters.

    Args:
        examples: URI that the trials' pods can read.
        schema: Likewise.
        label: The label's column.
        trials: JSON file to write.
        trials_uri: The same as a URI: what the Experiment is named after.
        metrics: Gets the best eval loss, and how many trials there were.
        report: HTML file to write.
        space: As `search.read_space` takes it.
        count: Trials.
        parallel: Trials at a time.
        hyperparameters: Those that are fixed.
        task: As `train_model` takes it.
        exclude: Columns that are no features.
        module: As `train_model` takes it.
        runtime: A training runtime.
        pool: From `accelerators.pool`; empty: the runtime's.
        namespace: Of the Experiment; empty: this pod's.
        queue: Kueue's local queue for the trials.
        image: Instead of the runtime's.
        timeout: Seconds after which what was found so far counts.
        seed: Of the search and of every training.
        pause: Seconds between two looks.

    Returns:
        JSON, as `train_model` takes it: those given, and those found.

    Raises:
        UserError: A parameter is out of range, the cluster refuses the Experiment, or no trial succeeded.
        SystemExit: The step was cancelled; the Experiment is removed.
    """
    for name, uri in {"examples": examples, "schema": schema}.items():
        pod.check_reachable(name, uri)
    given = hyper.as_mapping(hyperparameters)
    hyper.checked(given, seed=seed)
    where = read_pool(pool)
    order = {
        "examples": examples,
        "schema": schema,
        "label": label,
        "task": hyper.checked_task(task),
        "exclude": list(exclude),
        "module": module,
        "accelerator": where.accelerator if where else "",
    }
    # The same step tried again finds its own experiment: nobody else writes there.
    name = f"tune-{hashlib.sha256(trials_uri.encode()).hexdigest()[:10]}"
    sought, tried_at_once = searched(space, given), hyper.checked_count("parallel", parallel, 1, MAX_TRIALS)
    most = hyper.checked_count("count", count, 1, MAX_TRIALS)
    seconds = hyper.checked_seconds("timeout", timeout)
    api, namespace = kubernetes_api.connect(PATIENCE_SECONDS), namespace or kubernetes_api.namespace()
    tuning = Tuning(
        name=name,
        order=order,
        space=sought,
        fixed={"seed": seed} | given,
        count=most,
        parallel=min(tried_at_once, most),
        runtime=runtimes.find(api, namespace, runtime),
        seed=seed,
        image=image,
        pool=where,
        queue=queue,
    )
    with removing_when_cancelled(f"Experiment {name}", lambda: experiments.remove(api, namespace, name, 20)):
        try:
            experiments.submit(api, namespace, tuning, owner_references(api, namespace, os.environ))
            found = experiments.follow(api, namespace, tuning, seconds, pause)
            best = experiments.best_of(api, namespace, name)
        except RetriableError:
            raise  # The next try of this step takes the experiment over.
        except UserError:
            experiments.remove(api, namespace, name)
            raise
        experiments.remove(api, namespace, name)
    if not best or not any(trial.state == "complete" for trial in found):
        reasons = [trial.error for trial in found if trial.error]
        raise UserError(
            f"space: no trial succeeded; the last one: {reasons[-1] if reasons else 'was not done in time'}"
        )
    tried = katib.values_of(best, tuning.space)
    chosen = json.dumps(merged(given, tried))
    winner = min(
        (trial for trial in found if trial.state == "complete"),
        key=lambda trial: (trial.hyperparameters != tried, trial.eval_loss),
    )
    storage.write_json(Path(trials), [trial.as_json() for trial in found])
    storage.write_atomically(Path(report), tuning_page(label, found, winner, chosen))
    complete = sum(trial.state == "complete" for trial in found)
    figures = {"best_eval_loss": winner.eval_loss, "trials": len(found), "trials_complete": complete}
    for name, value in figures.items():
        metrics.log_metric(name, float(value))
    print(f"best of {len(found)}: trial {winner.number}, eval loss {winner.eval_loss:.4f}: {chosen}", flush=True)
    return chosen
