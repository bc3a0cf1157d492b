"""What a team makes of an anomaly: its kinds, their severity, and what is allowed for a while.

Imports nothing else of validation; everything above may import it.
"""
