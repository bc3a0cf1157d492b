"""The history of runs: what each was given, what it decided and what it deployed. Local runs write it themselves.

Imports nothing else of pipelines; engines, cluster and commands import this.
"""
