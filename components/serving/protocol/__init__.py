"""KServe's V1, V2 and gRPC protocols, made strict and bounded.

Imports `model` and the metrics; the servers import this.
"""
