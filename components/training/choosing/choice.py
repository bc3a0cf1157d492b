"""The choice of a kind of model: by its name, or by held-out rows of train."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from mainspring.components.training.choosing import fitting_trees, network_fitting
from mainspring.components.training.choosing.dividing import divide
from mainspring.components.training.choosing.fitting_linear import fit_linear
from mainspring.components.training.choosing.fitting_trees import TreeJob
from mainspring.components.training.choosing.kinds import AUTO, LINEAR, NETWORK, TREES, say_what_does_not_apply
from mainspring.components.training.choosing.network_fitting import NetworkJob
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.loop import automatic_epochs
from mainspring.components.training.fitting.progress import predictor
from mainspring.components.training.fitting.scores import loss_and_metric
from mainspring.components.training.fitting.threshold import chosen as threshold_of
from mainspring.components.training.fitting.threshold import without_rows
from mainspring.components.training.fitting.threshold_rule import Rule
from mainspring.components.training.hyperparameters import checked_class_weights
from mainspring.components.training.publishing.published_model import Fitted, Tried, of_network
from mainspring.components.training.rows.examples import count_rows
from mainspring.components.training.rows.preparing import Examples, Prepared, judging_rows, prepare, rarer_share
from mainspring.components.training.trees.growing import at_most
from mainspring.components.training.trees.table_rows import read_eval, read_train

SMALL_ROWS = 20_000
"""Of a smaller train, a network that is chosen is trained anew on all rows; larger ones spare the held-out rows."""
LARGE_ROWS = 100_000
"""Of a train from here on, trees that are chosen spare the held-out rows, too."""
LINEAR_ROWS = 20_000
"""With more rows a network's wide part has learned whatever a linear model could."""


@dataclass(frozen=True)
class Jobs:
    """What each kind of model is trained with."""

    network: NetworkJob
    trees: TreeJob


@dataclass(frozen=True)
class Candidate:
    """A kind of model that was tried on held-out rows of train."""

    tried: Tried
    label: LabelSpec
    outputs: np.ndarray
    """For the held-out rows."""
    targets: np.ndarray
    final: Callable[[], Fitted]
    """Makes the model of this kind that is published."""


def fit_kind(kind: str, jobs: Jobs, rule: Rule) -> tuple[Fitted, Sequence[Tried]]:
    """Fits a model of the kind; `auto`: of the kind that does best on held-out rows of train.

    Args:
        kind: The kind.
        jobs: What to train with.
        rule: How to find the threshold of two classes. Where that takes rows, they are held out of train.

    Returns:
        The model, and what each kind reached where they were compared.

    Raises:
        UserError: The examples cannot be learned from.
        SystemExit: The process was told to end.
    """
    network = jobs.network
    if kind in (TREES, LINEAR):
        given = {"warm_start": bool(network.champion), "checkpoints": bool(network.checkpoints)}
        say_what_does_not_apply(network.settings, given)
    needs_rows = rule.needs_rows(rarer_share(network.examples, network.task))
    if kind == AUTO:
        return _chosen(jobs, rule, needs_rows)
    if needs_rows:
        fitted, _ = _chosen(jobs, rule, needs_rows, (kind,))
        return fitted, ()
    fit = {NETWORK: lambda: network_fitting.fit_network(network), TREES: lambda: fitting_trees.fit_trees(jobs.trees)}
    fitted = fit.get(kind, lambda: _linear(network))()
    return replace(fitted, threshold=without_rows(rule, fitted.label)), ()


def _chosen(jobs: Jobs, rule: Rule, needs_rows: bool, kinds: Sequence[str] = ()) -> tuple[Fitted, Sequence[Tried]]:
    """Tries kinds of model (none given: all that suit the table) on held-out rows, and fits the best one."""
    divided = divide(jobs.network.examples, jobs.network.scratch, jobs.network.settings.seed)
    compared = Jobs(replace(jobs.network, examples=divided), replace(jobs.trees, examples=divided))
    candidates = []
    if kinds != (TREES,) and not jobs.trees.rises_with:  # Neither a network nor a linear model can be held to it.
        compared = replace(compared, network=_for_whole_table(compared.network, jobs.network.examples))
        prepared = network_fitting.prepared_rows(compared.network)
        if LINEAR in kinds or (not kinds and prepared.train_rows <= LINEAR_ROWS):
            candidates.append(_tried_linear(compared, prepared, jobs))
        if not kinds or NETWORK in kinds:
            candidates.append(_tried_network(compared, prepared, jobs))
    if not kinds or TREES in kinds:
        candidates.append(_tried_trees(compared, jobs, min((one.tried.loss for one in candidates), default=None)))
    for one in candidates:
        tried = one.tried
        print(
            f"tried {tried.model}: loss {tried.loss:.4f}, metric {tried.metric:.4f} on {tried.rows:,} held-out rows "
            f"of train, {tried.seconds:.1f} s",
            flush=True,
        )
    best = min(candidates, key=lambda one: one.tried.loss)
    if not kinds:
        print(f"auto: {best.tried.model} it is", flush=True)
    threshold = without_rows(rule, best.label)
    if needs_rows:
        threshold = threshold_of(rule, best.outputs[:, 0], best.targets, best.label)
    return replace(best.final(), threshold=threshold), [one.tried for one in candidates]


def _for_whole_table(job: NetworkJob, whole: Examples) -> NetworkJob:
    """Returns the job with as many epochs as the whole table has: fewer rows alone would ask for more."""
    rows = count_rows(whole.folder, "train", whole.manifest)
    epochs = job.settings.max_epochs or automatic_epochs(rows)
    return replace(job, settings=replace(job.settings, max_epochs=epochs))


def _tried_trees(compared: Jobs, jobs: Jobs, to_beat: float | None) -> Candidate:
    started = time.perf_counter()
    job, seed = compared.trees, compared.trees.settings.seed
    train = read_train(job.examples, job.task, seed)
    held_out, _ = read_eval(job.examples, train.label, seed)
    if train.table.rows >= fitting_trees.SMALL_ROWS:
        grown = fitting_trees.best_grown(job, train, held_out, to_beat)
        shape = at_most(grown.shape, grown.rounds)
    else:  # A shape is a matter of chance where rows are few: all of train choose it.
        shape = fitting_trees.best_shape(jobs.trees, read_train(jobs.trees.examples, job.task, seed))
        grown = fitting_trees.grown_as(job, train, shape)
    weights = job.weights(train.label, train.class_rows)
    outputs = grown.outputs(held_out.columns)
    loss, metric = loss_and_metric(outputs, held_out.targets, train.label, weights)
    tried = Tried(TREES, loss, metric, time.perf_counter() - started, held_out.rows)

    def final() -> Fitted:
        if train.labelled_rows >= LARGE_ROWS:
            return fitting_trees.publishable(replace(job, examples=jobs.trees.examples), train, grown)
        whole = read_train(jobs.trees.examples, jobs.trees.task, seed)
        return fitting_trees.publishable(jobs.trees, whole, fitting_trees.grown_as(jobs.trees, whole, shape))

    return Candidate(tried, train.label, outputs, held_out.targets, final)


def _tried_linear(compared: Jobs, prepared: Prepared, jobs: Jobs) -> Candidate:
    started = time.perf_counter()
    model, epoch = fit_linear(prepared, compared.network.settings)
    tried = Tried(LINEAR, epoch.eval_loss, epoch.metric, time.perf_counter() - started, prepared.evaluation.rows)
    outputs = predictor(model)(prepared.evaluation)
    return Candidate(tried, prepared.label, outputs, prepared.evaluation.targets, lambda: _linear(jobs.network))


def _tried_network(compared: Jobs, prepared: Prepared, jobs: Jobs) -> Candidate:
    started, job = time.perf_counter(), jobs.network
    found = network_fitting.trained_network(compared.network, prepared)
    kept = found.trained.kept
    rows = prepared.evaluation.rows
    tried = Tried(NETWORK, kept.eval_loss, kept.metric, time.perf_counter() - started, rows)
    outputs = predictor(found.trained.model)(prepared.evaluation)

    def final() -> Fitted:
        # A team's own training, and that of several workers, may take hours: it is made once.
        if prepared.train_rows < SMALL_ROWS and not job.module and job.hardware.workers == 1:
            return network_fitting.fit_network(replace(job, checkpoints=""))
        judged, kept_on_eval = _judged_on_eval(job, prepared, found.trained.model, kept)
        trained = replace(found.trained, kept=kept_on_eval)
        return network_fitting.publishable(job, judged, replace(found, trained=trained))

    return Candidate(tried, prepared.label, outputs, prepared.evaluation.targets, final)


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
