"""Where rows come from: folders, buckets and BigQuery, and the files that a pattern means there.

Imports nothing else of ingestion; everything above may import it.
"""
