"""The built-in model: wide and deep over embedded ids and standardised numbers."""

from __future__ import annotations

import keras

from mainspring.components.training.model.context import ModelContext
from mainspring.components.training.model.layers import Wide


def build_model(context: ModelContext) -> keras.Model:
    """Builds the model that is trained when no module is given.

    Source: Cheng et al., "Wide & Deep Learning for Recommender Systems" (2016): one linear effect per id, and dense
    layers over the embeddings. Quantities enter twice, by their bin and by their standardised value.
    """
    tensor = context.embedded()
    for number, width in enumerate(context.hyperparameters.hidden_units, start=1):
        tensor = keras.layers.Dense(width, activation="relu", name=f"hidden_{number}")(tensor)
        if context.hyperparameters.dropout:
            tensor = keras.layers.Dropout(
                context.hyperparameters.dropout, seed=context.seed + number, name=f"dropout_{number}"
            )(tensor)
    wide = Wide(context.id_counts, context.units, dtype="float32", name="wide")(context.inputs["ids"])
    return keras.Model(
        context.inputs,
        keras.layers.Add(dtype="float32", name="logits")([context.output(tensor), wide]),
        name="mainspring",
    )
