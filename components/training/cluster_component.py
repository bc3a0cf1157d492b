"""The interfaces of what the cluster's other services do: submitted and followed in a pod of its own."""

from typing import List, NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("kubeflow"), install_kfp_package=False)  # Submits and waits: no TensorFlow.
def tune_model_distributed(
    examples: dsl.Input[dsl.Dataset],
    schema: dsl.Input[dsl.Artifact],
    label: str,
    trials: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    space: str = "",
    count: int = 20,
    parallel: int = 3,
    hyperparameters: str = "",
    task: str = "auto",
    exclude: List[str] = [],  # noqa: B006
    module: str = "",
    runtime: str = "mainspring-tensorflow",
    pool: str = "",
    namespace: str = "",
    queue: str = "",
    image: str = "",
    timeout: int = 86400,
    seed: int = 20131,
) -> NamedTuple("Tuned", hyperparameters=str):  # type: ignore[valid-type]
    """Searches for hyperparameters on a cluster through Katib, each trial a pod of its own; nothing is published.

    The step follows the trials, removes the Experiment when it is cancelled, and takes it over when tried again.

    Args:
        examples: From `ingest_examples`, in a bucket or on storage that the trials' pods share.
        schema: From `validate_examples`, likewise.
        label: The label's column.
        trials: Every trial as JSON: hyperparameters, state, eval loss.
        metrics: The best eval loss, and how many trials there were.
        report: A self-contained page: the best hyperparameters, how they were found, every trial.
        space: As `tune_model` has it.
        count: Trials.
        parallel: Trials at a time.
        hyperparameters: A JSON object of those that are fixed.
        task: As `train_model` has it.
        exclude: Columns that are no features.
        module: As `train_model` has it; a path must be in the trials' image, a URI in a bucket.
        runtime: A training runtime of `manifests/`: `mainspring-tensorflow`, `-gpu`, `-tpu`, or one's own like them.
        pool: Where the trials run: what `mainspring.pipelines.accelerators.pool("l4", spot=True)` returns. Empty: where
            the runtime says.
        namespace: Of the Experiment; empty: the step's.
        queue: Kueue's local queue for the trials; empty: the namespace's default, if there is one.
        image: The trials' image; empty: the runtime's.
        timeout: Seconds after which the best so far counts, and the rest is ended.
        seed: Of the search and of every training.

    Returns:
        hyperparameters: The best, as JSON, for `train_model`.
    """
    from mainspring.components.training.tune_model_distributed import tune_model_distributed

    found = tune_model_distributed(
        examples=examples.uri,
        schema=schema.uri,
        label=label,
        trials=trials.path,
        trials_uri=trials.uri,
        metrics=metrics,
        report=report.path,
        space=space,
        count=count,
        parallel=parallel,
        hyperparameters=hyperparameters,
        task=task,
        exclude=exclude,
        module=module,
        runtime=runtime,
        pool=pool,
        namespace=namespace,
        queue=queue,
        image=image,
        timeout=timeout,
        seed=seed,
    )
    return (found,)


@dsl.component(base_image=image("kubeflow"), install_kfp_package=False)  # Submits and waits: no TensorFlow.
def train_model_distributed(
    examples: dsl.Input[dsl.Dataset],
    schema: dsl.Input[dsl.Artifact],
    label: str,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    logs: dsl.Output[dsl.Artifact],
    nodes: int = 2,
    runtime: str = "mainspring-tensorflow",
    pool: str = "",
    hyperparameters: str = "",
    task: str = "auto",
    exclude: List[str] = [],  # noqa: B006
    model_kind: str = "network",
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
) -> str:
    """Trains on several machines by a TrainJob of Kubeflow Trainer; the model is what `train_model` makes.

    The step follows the job, removes it when it is cancelled, and takes it over when it is tried again.

    Args:
        examples: From `ingest_examples`, in a bucket or on storage that the workers share.
        schema: From `validate_examples`, likewise.
        label: The label's column.
        model: The SavedModel, `manifest.json` and `schema.pbtxt`.
        metrics: Training's last metrics, for the Kubeflow UI.
        report: A self-contained page with the learning curves.
        logs: TensorBoard's: loss and metric of each epoch.
        nodes: How many workers; 1 with TPUs: TensorFlow cannot use those of several machines on GKE.
        runtime: A training runtime of `manifests/`: `mainspring-tensorflow`, `-gpu`, `-tpu`, or one's own like them.
        pool: Where the workers run: what `mainspring.pipelines.accelerators.pool("l4-x8", spot=True)` returns. Empty:
            where the runtime says.
        hyperparameters: A JSON object of `train_model`'s by name.
        task: As `train_model` takes it.
        exclude: Columns that are no features.
        model_kind: As `train_model` takes it. Several workers train a network: with more than one node, `auto` is one,
            and `trees` and `linear` are refused.
        rises_with: As `train_model` takes it, for trees.
        threshold: As `train_model` takes it.
        cost: As `train_model` takes it.
        module: As `train_model` takes it; a path must be in the workers' image, a URI in a bucket.
        parent_uri: The champion version this model is to replace; recorded in the manifest.
        warm_start: Whether to begin with the weights and the preprocessing of `parent_uri`; cold where that is empty.
        precision: As `train_model` takes it.
        checkpoints: Folder that all workers reach; a restarted job goes on from there. Empty: one beside the model.
        namespace: Of the TrainJob; empty: the step's.
        queue: Kueue's local queue; empty: the namespace's default, if there is one.
        image: The workers' image; empty: the runtime's.
        timeout: Seconds until the job is ended.

    Returns:
        The model's fingerprint.
    """
    from mainspring.components.training.train_model_distributed import train_model_distributed

    return train_model_distributed(
        examples=examples.uri,
        schema=schema.uri,
        label=label,
        model=model.path,
        model_uri=model.uri,
        metrics=metrics,
        report=report.path,
        logs=logs.path,
        nodes=nodes,
        runtime=runtime,
        pool=pool,
        hyperparameters=hyperparameters,
        task=task,
        exclude=exclude,
        model_kind=model_kind,
        rises_with=rises_with,
        threshold=threshold,
        cost=cost,
        module=module,
        parent_uri=parent_uri,
        warm_start=warm_start,
        precision=precision,
        checkpoints=checkpoints,
        namespace=namespace,
        queue=queue,
        image=image,
        timeout=timeout,
    )
