"""The model as it is handed on: a SavedModel with its preprocessing, and its manifest.

Imports `fitting` and what is below it; the commands import this.
"""
