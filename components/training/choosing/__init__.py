"""Which kind of model a table gets: each kind's fit from examples to a publishable model, and the choice between them.

Imports `publishing`, `trees`, `fitting` and what is below them; `train_model` imports this.
"""
