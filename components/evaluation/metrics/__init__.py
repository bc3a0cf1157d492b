"""The metrics of TFMA, their noise, and what a model that knows nothing reaches.

Imports `scoring`, `slices` and `policy`; `gates` and what is above it import this.
"""
