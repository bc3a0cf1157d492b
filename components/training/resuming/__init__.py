"""Going on after an interruption: checkpoints, signals, and a start from the champion.

Imports `features` and `hardware`; `rows` and what is above it import this.
"""
