"""A SavedModel as it is served: rows and tensors in, predictions out, requests in batches.

Imports nothing else of serving but its metrics; `protocol` and the servers import this.
"""
