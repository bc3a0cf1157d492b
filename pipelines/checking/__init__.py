"""The dry run: what a run would need, looked at in seconds and before anything is computed.

Imports the cluster's client, the doctor and the deployment's own checks; only commands import this.
"""
