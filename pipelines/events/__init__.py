"""Runs that events start: an object arrives in a bucket, and the span that it belongs to is run once.

Imports the cluster's client, engines and the project; commands import this.
"""
