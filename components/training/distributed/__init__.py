"""Training on a cluster: a TrainJob of Kubeflow Trainer, what its pods run, and the calls to the API server.

Imports `train_model` and what is below it; `tuning` and the distributed commands import this.
"""
