"""Evaluation: TFMA's metrics for challenger and champion on the same rows, the gates, and the verdict."""
