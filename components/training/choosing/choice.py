"""The choice of a kind of model: by its name, or by held-out rows of train."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras

from mainspring.components.training.choosing import fitting_trees, network_fitting
from mainspring.components.training.choosing.dividing import divide
from mainspring.components.training.choosing.fitting_linear import fit_linear
from mainspring.components.training.choosing.fitting_trees import TreeJob
from mainspring.components.training.choosing.kinds import AUTO, LINEAR, NETWORK, TREES, say_what_does_not_apply
from mainspring.components.training.choosing.network_fitting import NetworkJob
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.progress import predictor
from mainspring.components.training.fitting.scores import loss_and_metric
from mainspring.components.training.hyperparameters import checked_class_weights
from mainspring.components.training.publishing.published_model import Fitted, Tried, of_network
from mainspring.components.training.rows.preparing import Prepared, judging_rows, prepare
from mainspring.components.training.trees.table_rows import read_eval, read_train

SMALL_ROWS = 20_000
"""Of a smaller train, a network that is chosen is trained anew on all rows; larger ones spare the held-out rows."""
LINEAR_ROWS = 20_000
"""With more rows a network's wide part has learned whatever a linear model could."""


@dataclass(frozen=True)
class Jobs:
    """What each kind of model is trained with."""

    network: NetworkJob
    trees: TreeJob


@dataclass(frozen=True)
class Candidate:
    """A kind of model that was tried."""

    tried: Tried
    final: Callable[[], Fitted]
    """Makes the model of this kind that is published."""


def fit_kind(kind: str, jobs: Jobs) -> tuple[Fitted, Sequence[Tried]]:
    """Fits a model of the kind; `auto`: of the kind that does best on held-out rows of train.

    Returns:
        The model, and what each kind reached where they were compared.

    Raises:
        UserError: The examples cannot be learned from.
        SystemExit: The process was told to end.
    """
    if kind == NETWORK:
        return network_fitting.fit_network(jobs.network), ()
    if kind == AUTO:
        return _chosen(jobs)
    network = jobs.network
    given = {"warm_start": bool(network.champion), "checkpoints": bool(network.checkpoints)}
    say_what_does_not_apply(network.settings, given)
    return (fitting_trees.fit_trees(jobs.trees) if kind == TREES else _linear(network)), ()


def _chosen(jobs: Jobs) -> tuple[Fitted, Sequence[Tried]]:
    divided = divide(jobs.network.examples, jobs.network.scratch, jobs.network.settings.seed)
    compared = Jobs(replace(jobs.network, examples=divided), replace(jobs.trees, examples=divided))
    candidates = [_tried_trees(compared, jobs)]
    if not jobs.trees.rises_with:  # Neither a network nor a linear model can be held to it.
        prepared = network_fitting.prepared_rows(compared.network)
        if prepared.train_rows <= LINEAR_ROWS:
            candidates.append(_tried_linear(compared, prepared, jobs))
        candidates.append(_tried_network(compared, prepared, jobs))
    for one in candidates:
        tried = one.tried
        print(
            f"tried {tried.model}: loss {tried.loss:.4f}, metric {tried.metric:.4f} on {tried.rows:,} held-out rows "
            f"of train, {tried.seconds:.1f} s",
            flush=True,
        )
    best = min(candidates, key=lambda one: one.tried.loss)
    print(f"auto: {best.tried.model} it is", flush=True)
    return best.final(), [one.tried for one in candidates]


def _tried_trees(compared: Jobs, jobs: Jobs) -> Candidate:
    started = time.perf_counter()
    job, seed = compared.trees, compared.trees.settings.seed
    train = read_train(job.examples, job.task, seed)
    held_out, _ = read_eval(job.examples, train.label, seed)
    grown = fitting_trees.best_grown(job, train, held_out)
    weights = job.weights(train.label, train.class_rows)
    loss, metric = loss_and_metric(grown.outputs(held_out.columns), held_out.targets, train.label, weights)
    tried = Tried(TREES, loss, metric, time.perf_counter() - started, held_out.rows)

    def final() -> Fitted:
        whole = read_train(jobs.trees.examples, jobs.trees.task, seed)
        return fitting_trees.publishable(jobs.trees, whole, fitting_trees.grown_again(jobs.trees, whole, grown))

    return Candidate(tried, final)


def _tried_linear(compared: Jobs, prepared: Prepared, jobs: Jobs) -> Candidate:
    started = time.perf_counter()
    _, epoch = fit_linear(prepared, compared.network.settings)
    tried = Tried(LINEAR, epoch.eval_loss, epoch.metric, time.perf_counter() - started, prepared.evaluation.rows)
    return Candidate(tried, lambda: _linear(jobs.network))


def _tried_network(compared: Jobs, prepared: Prepared, jobs: Jobs) -> Candidate:
    started = time.perf_counter()
    found = network_fitting.trained_network(compared.network, prepared)
    kept = found.trained.kept
    rows = prepared.evaluation.rows
    tried = Tried(NETWORK, kept.eval_loss, kept.metric, time.perf_counter() - started, rows)

    def final() -> Fitted:
        if prepared.train_rows < SMALL_ROWS:
            return network_fitting.fit_network(replace(jobs.network, checkpoints=""))
        judged, kept_on_eval = _judged_on_eval(jobs.network, prepared, found.trained.model, kept)
        trained = replace(found.trained, kept=kept_on_eval)
        return network_fitting.publishable(jobs.network, judged, replace(found, trained=trained))

    return Candidate(tried, final)


def _judged_on_eval(job: NetworkJob, prepared: Prepared, model: keras.Model, kept: Epoch) -> tuple[Prepared, Epoch]:
    """Returns what the network was trained on with eval in the place of the held-out rows, and its figures there."""
    evaluation, sample_row = judging_rows(job.examples, prepared.encoder, prepared.label, job.settings.seed)
    weights = checked_class_weights(job.settings.class_weights, prepared.label.classes, prepared.class_rows)
    loss, metric = loss_and_metric(predictor(model)(evaluation), evaluation.targets, prepared.label, weights)
    judged = replace(prepared, examples=job.examples, evaluation=evaluation, sample_row=sample_row)
    return judged, replace(kept, eval_loss=loss, metric=metric)


def _linear(job: NetworkJob) -> Fitted:
    settings = replace(job.settings, max_crosses=0)
    prepared = prepare(job.examples, job.task, settings, job.scratch)
    model, epoch = fit_linear(prepared, settings)
    print(f"linear: eval loss {epoch.eval_loss:.4f}", flush=True)
    return of_network(model, prepared, [epoch], epoch, LINEAR)
