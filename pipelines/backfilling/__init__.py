"""Backfills: one run for each span of the past, in order, on this machine or on a cluster.

Imports engines, cluster and history; only commands import this.
"""
