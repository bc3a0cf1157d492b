"""A team's `mainspring.yaml`: its pipelines, schedules and environments, and what these make of a cluster.

Imports the cluster's client and parameters; commands import this.
"""
