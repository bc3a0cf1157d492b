"""Which files belong to which span, and which spans a run takes.

`ingest_examples` and `resolve_spans` import it; it imports sources.
"""
