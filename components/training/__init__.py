"""Training: a Keras model from examples and their schema."""
