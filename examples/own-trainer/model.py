"""A model of your own: one function that returns a Keras model."""

import keras


def build_model(context):
    """Returns a network with a way around its hidden layer."""
    inputs = context.embedded()
    hidden = keras.layers.Dense(32, activation="gelu")(inputs)
    hidden = keras.layers.Dropout(0.2)(hidden)
    return keras.Model(context.inputs, context.output(keras.layers.Concatenate()([inputs, hidden])))
