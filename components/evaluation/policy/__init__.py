"""What a team asks of a model: the policy, its YAML, and the metrics that it may name.

Imports nothing else of evaluation; everything above may import it.
"""
