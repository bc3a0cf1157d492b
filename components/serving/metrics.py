"""What Prometheus is told, beside KServe's own `request_predict_seconds` and its neighbours."""

from __future__ import annotations

import functools

from kserve import metrics as kserve_metrics
from prometheus_client import Counter, Gauge, Histogram

V1, V2, GRPC = "v1", "v2", "grpc"
"""Values of the label `protocol`."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 512, 2048, 8192, 32768)

REQUESTS = Counter(
    "mainspring_requests",
    "Prediction requests answered, by status (gRPC: its code)",
    ("model_name", "protocol", "code"),
)
LATENCY = Histogram(
    "mainspring_request_seconds",
    "From a request's last byte to its answer's, in the server",
    ("model_name", "protocol"),
    buckets=SECONDS,
)
BATCH_ROWS = Histogram("mainspring_batch_rows", "Rows in a call of the model", ("model_name",), buckets=ROWS)
MODEL = Gauge("mainspring_model_info", "1 for the version that is served", ("model_name", "model_version"))

PREDICT_SECONDS = kserve_metrics.PREDICT_HIST_TIME
"""KServe's own, for requests that do not go through its code."""


@functools.lru_cache(maxsize=64)
def _of(model: str, protocol: str, code: str) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(model, protocol, code), LATENCY.labels(model, protocol)


def count(model: str, protocol: str, code: str, seconds: float) -> None:
    """Counts a request."""
    requests, latency = _of(model, protocol, code)
    requests.inc()
    latency.observe(seconds)
