"""What is trained: the built-in network, its layers, or a team's own module.

Imports `hardware` and `resuming`; `fitting` and what is above it import this.
"""
