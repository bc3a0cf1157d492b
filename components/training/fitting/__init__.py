"""Training itself: steps, epochs, the best weights, and how it looks while it goes on.

Imports `rows`, `model`, `features` and `resuming`; the commands and `tuning` import this.
"""
