"""A window's verdict: skew, drift, predictions, and quality once labels come.

Imports `logs`, `journal` and the policy; the commands import this.
"""
