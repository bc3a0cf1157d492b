"""Pipelines by name, as KFP's YAML, and the generated files of the repository.

Imports the pipelines and the accelerators; `cluster`, the engines and the commands import this.
"""
