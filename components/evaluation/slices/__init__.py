"""The rows that share a value: which slices there are, and the worst of them.

Imports `policy`; `scoring` and what is above it import this.
"""
