"""What decides: thresholds, comparisons, behaviour and cost, each with its reason.

Imports `metrics` and what is below it; the evaluation and its pages import this.
"""
