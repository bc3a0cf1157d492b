"""The eval split's rows and what the models predict for them, on this machine or by Beam.

Imports `policy` and `slices`; `metrics` and what is above it import this.
"""
