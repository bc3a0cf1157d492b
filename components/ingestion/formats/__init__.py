"""What is particular to a format: CSV, JSON lines and TFRecord.

Imports `sources` and the column types; `rows` and `staging` import this.
"""
