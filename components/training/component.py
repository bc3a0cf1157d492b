"""The KFP interface of training."""

from typing import List, NamedTuple

from kfp import dsl

from mainspring.components.common.images import image
from mainspring.components.training.cluster_component import train_model_distributed as train_model_distributed
from mainspring.components.training.cluster_component import tune_model_distributed as tune_model_distributed


@dsl.component(base_image=image("training"), install_kfp_package=False)
def train_model(
    examples: dsl.Input[dsl.Dataset],
    schema: dsl.Input[dsl.Artifact],
    label: str,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    logs: dsl.Output[dsl.Artifact],
    task: str = "auto",
    hidden_units: List[int] = [128, 64],  # noqa: B006 (KFP compiles it; nobody can change it)
    embedding_size: int = 16,
    max_crosses: int = 8,
    dropout: float = 0.1,
    weight_decay: float = 0.0,
    learning_rate: float = 0.001,
    batch_size: int = 2048,
    max_epochs: int = 0,
    patience: int = 2,
    class_weights: str = "",
    hyperparameters: str = "",
    exclude: List[str] = [],  # noqa: B006
    seed: int = 20131,
    model_kind: str = "network",
    rises_with: str = "",
    threshold: str = "",
    cost: str = "",
    module: str = "",
    parent_uri: str = "",
    warm_start: bool = False,
    accelerator: str = "",
    precision: str = "",
    deterministic: bool = False,
    checkpoints: str = "",
    checkpoint_seconds: float = 60.0,
    valid: bool = True,
    reasons: str = "",
) -> str:
    """Trains a Keras model that takes raw features: preprocessing is part of the exported SavedModel.

    Args:
        examples: From `ingest_examples`.
        schema: From `validate_examples`.
        label: The label's column.
        model: The SavedModel, `manifest.json` and `schema.pbtxt`.
        metrics: Training's last metrics, for the Kubeflow UI.
        report: A self-contained page with the learning curves.
        logs: TensorBoard's: loss and metric of each epoch.
        task: `binary_classification`, `multiclass_classification`, `regression`, or `auto`: told from the label.
        hidden_units: Width of each dense layer.
        embedding_size: Largest width of a feature's embedding.
        max_crosses: Features made of two or three others (which day of which month), found from what a sum of single
            effects leaves unexplained; 0: none.
        dropout: Share of units dropped, in [0, 1).
        weight_decay: Share of each weight that one step takes away, in [0, 1); 0: none.
        learning_rate: Adam's step size, above 0.
        batch_size: Rows per step at most; small tables take smaller steps.
        max_epochs: Passes over train at most; training stops early when eval no longer gets better. 0: told
            from the table's size.
        patience: Epochs without a better eval loss before training stops; the best weights are kept.
        class_weights: `balanced`: as if all classes were equally frequent; or a JSON object of weights by class.
        hyperparameters: A JSON object of any of those above by name, such as `tune_model` returns; it goes before them.
            A module's own go under `custom`.
        exclude: Columns that are no features.
        seed: Of initial weights, shuffling and dropout.
        model_kind: `network`; `trees`: boosted trees; `linear`; or `auto`: whichever of them does best on rows of train
            that are held out. Trees and linear models take seed and class weights; all else is the network's.
        rises_with: A JSON object of `rises` or `falls` by numeric feature: what predictions may only do as it rises.
            Trees keep it; where it is given, `auto` is trees.
        threshold: From which probability on a row is of the positive class: a number, or `f1`, the one that is best for
            F1 on rows of train that are held out. Empty: `f1` where one of two classes is rare (below a tenth of
            train), one half otherwise.
        cost: A JSON object of what a `false_positive` and a `false_negative` cost: the threshold is then where
            held-out rows of train cost least.
        module: A Python file (path or URI, ending in `.py`) or the dotted name of a module in the image, with
            `build_model(context) -> keras.Model` or `train(context) -> keras.Model`, instead of the built-in model.
        parent_uri: The champion version this model is to replace; recorded in the manifest.
        warm_start: Whether to begin with the weights and the preprocessing of `parent_uri`; cold where that is empty.
        accelerator: `gpu`, `tpu` or `cpu`, or with a count such as `gpu:4`: fails where that is not there. Empty: the
            best that is there.
        precision: `float32` or `mixed_bfloat16`; empty: bfloat16 where the accelerator has units for it.
        deterministic: Whether operations keep to one order of adding up, so that the same inputs give the same model
            on a GPU, too, which takes longer there. A CPU does without.
        checkpoints: Folder (a path, `gs://` or `s3://`) that outlives the task: a retry goes on from there.
            Empty: none.
        checkpoint_seconds: Between two checkpoints.
        valid: From `validate_examples`: where the data are not valid, nothing is trained, and the run ends here.
        reasons: From `validate_examples`.

    Returns:
        The model's fingerprint.
    """
    from mainspring.components.common.errors import UserError, refusal

    if not valid:
        raise UserError(refusal("data", reasons))
    from mainspring.components.training.train_model import train_model

    return train_model(
        examples=examples.path,
        schema=schema.path,
        label=label,
        model=model.path,
        metrics=metrics,
        report=report.path,
        logs=logs.path,
        task=task,
        hidden_units=hidden_units,
        embedding_size=embedding_size,
        max_crosses=max_crosses,
        dropout=dropout,
        weight_decay=weight_decay,
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        class_weights=class_weights,
        hyperparameters=hyperparameters,
        exclude=exclude,
        seed=seed,
        model_kind=model_kind,
        rises_with=rises_with,
        threshold=threshold,
        cost=cost,
        module=module,
        parent_uri=parent_uri,
        warm_start=warm_start,
        accelerator=accelerator,
        precision=precision,
        deterministic=deterministic,
        checkpoints=checkpoints,
        checkpoint_seconds=checkpoint_seconds,
    )


@dsl.component(base_image=image("training"), install_kfp_package=False)
def tune_model(
    examples: dsl.Input[dsl.Dataset],
    schema: dsl.Input[dsl.Artifact],
    label: str,
    trials: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    space: str = "",
    count: int = 20,
    parallel: int = 0,
    timeout_seconds: float = 0.0,
    hyperparameters: str = "",
    task: str = "auto",
    exclude: List[str] = [],  # noqa: B006
    module: str = "",
    accelerator: str = "",
    seed: int = 20131,
) -> NamedTuple("Tuned", hyperparameters=str):  # type: ignore[valid-type]
    """Searches for hyperparameters by training many times on the same examples; nothing is published.

    Args:
        examples: From `ingest_examples`.
        schema: From `validate_examples`.
        label: The label's column.
        trials: Every trial as JSON: hyperparameters, state, eval loss, metric, epochs, seconds.
        metrics: The best eval loss, and how many trials there were.
        report: A self-contained page: the best hyperparameters, how they were found, every trial.
        space: JSON: by hyperparameter `{"low": …, "high": …}`, with `"log": true` or `"step": …`, or
            `{"choices": […]}`; a module's own are named `custom.<name>`. Empty: step size, dropout, embeddings, layers.
        count: Trials.
        parallel: Trials at a time, each in a process of its own; 0: one a GPU, or one per two processors.
        timeout_seconds: No trial begins after that; 0: no limit.
        hyperparameters: A JSON object of those that are fixed.
        task: As `train_model` has it.
        exclude: Columns that are no features.
        module: As `train_model` has it.
        accelerator: As `train_model` has it.
        seed: Of the search and of every training.

    Returns:
        hyperparameters: The best, as JSON, for `train_model`.
    """
    from mainspring.components.training.tune_model import tune_model

    found = tune_model(
        examples=examples.path,
        schema=schema.path,
        label=label,
        trials=trials.path,
        metrics=metrics,
        report=report.path,
        space=space,
        count=count,
        parallel=parallel,
        timeout_seconds=timeout_seconds,
        hyperparameters=hyperparameters,
        task=task,
        exclude=exclude,
        module=module,
        accelerator=accelerator,
        seed=seed,
    )
    return (found,)
