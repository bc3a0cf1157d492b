"""Boosted trees: raw rows as small integers, the learner, its trees as arrays, and the graph that serves them.

Imports `fitting` and what is below it; `publishing` and `choosing` import this.
"""
