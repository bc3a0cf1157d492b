"""The train step, and many of them in one call of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from mainspring.components.common.manifests import BINARY, MULTICLASS

Steps = Callable[[object, tf.Tensor], tf.Tensor]
"""Takes an iterator over batches and how many to train on (int32); returns each step's loss, float32 [steps]."""


def train_steps(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    task: str,
    class_weights: Sequence[float] | None,
    strategy: tf.distribute.Strategy,
) -> Steps:
    """Returns the function that trains `model` in place.

    Args:
        model: Gives logits, or standardised values, [rows, units]; losses of its layers are added.
        optimizer: Built over the model's weights, in the strategy's scope.
        task: One of the tasks.
        class_weights: Per class; None: all 1.
        strategy: Averages the gradients of its replicas.
    """
    loss_of = row_losses(task)
    weights = None if class_weights is None else tf.constant(class_weights, tf.float32)
    replicas = strategy.num_replicas_in_sync

    def step(inputs: dict[str, tf.Tensor], targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = tf.cast(model(inputs, training=True), tf.float32)
            losses = loss_of(targets, outputs)
            if weights is not None:
                losses *= tf.gather(weights, targets[:, 0])
            loss = tf.reduce_mean(losses)
            total = tf.add_n([loss, *(tf.cast(extra, tf.float32) for extra in model.losses)]) / replicas
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(total, [variable.value for variable in variables]), variables)
        return loss

    # Written out as a while loop: AutoGraph would rewrite all of Keras that the step calls, which takes seconds.
    @tf.function(autograph=False)
    def steps(iterator: object, count: tf.Tensor) -> tf.Tensor:
        def one(number: tf.Tensor, losses: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            loss = strategy.run(step, args=next(iterator))  # type: ignore[call-overload]
            return number + 1, losses.write(number, strategy.reduce(tf.distribute.ReduceOp.MEAN, loss, axis=None))

        start = (tf.constant(0), tf.TensorArray(tf.float32, count))
        _, losses = tf.while_loop(lambda number, _: number < count, one, start, parallel_iterations=1)
        return losses.stack()

    return steps


def row_losses(task: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns the loss of each row, [rows], for targets [rows, 1] and outputs [rows, units]."""
    if task == BINARY:
        return keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)
    if task == MULTICLASS:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    return keras.losses.MeanSquaredError(reduction=None)
