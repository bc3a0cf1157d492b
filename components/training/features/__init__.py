"""What becomes of a column: its kind, its label, what is learned of it, and the graph that applies that.

Imports nothing else of training but its spelling; everything above may import it.
"""
