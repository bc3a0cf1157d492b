"""The command line, a module a command: each a thin layer over the module that does the work.

Imports everything else of pipelines; only `cli` imports this.
"""
