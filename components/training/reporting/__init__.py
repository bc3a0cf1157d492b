"""The pages and figures of a training and of a tuning.

Imports `fitting` and `features`; the commands and `tuning` import this.
"""
