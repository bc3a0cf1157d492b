"""What every pod of a pipeline needs: its security level and its storage credentials.

Imports nothing else of pipelines; the pipelines and `accelerators` import this.
"""
