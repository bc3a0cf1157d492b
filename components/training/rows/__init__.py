"""From the examples artifact to batches: read, encoded, dealt into blocks and fed.

Imports `features` and `resuming`; `fitting` and what is above it import this.
"""
