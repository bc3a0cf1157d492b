"""An endpoint's payload logs: found, read, and paired into rows.

Imports nothing else of monitoring; `judging` and the commands import this.
"""
