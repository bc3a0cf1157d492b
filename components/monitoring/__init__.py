"""Judges live traffic by an endpoint's payload logs, and decides when retraining pays."""
