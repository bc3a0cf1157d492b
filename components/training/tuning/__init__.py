"""The search for hyperparameters: its space, its trials in processes here, and Katib on a cluster.

Imports `distributed`, `reporting` and `fitting`; the tuning commands import this.
"""
