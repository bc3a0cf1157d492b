"""Data in: spans found, rows shaped by SQL, split by hash, written as examples."""
