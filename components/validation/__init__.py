"""Validation: TFDV's statistics, schema, anomalies and drift, and a verdict that can stop a run."""
