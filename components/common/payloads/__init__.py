"""Payload logs, as KServe's agent and logger write them: their records, and the files that a local endpoint keeps.

Serving writes them and monitoring reads them; nothing here imports either.
"""
