"""Serving: the processes behind a local endpoint: a KServe model server per version, and the front before them."""
