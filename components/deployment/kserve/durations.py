"""How long a deployment to KServe waits for each thing, and how often it looks: seconds, in one place for tests to set.

How long the Kubernetes API is asked again stands in `common/kubernetes_api.py`. What a user sets is elsewhere:
`ready_seconds` in the serving policy, `rollout_seconds` in the command.
"""

from __future__ import annotations

import time

clock = time.perf_counter
"""What the latencies of two versions are measured with."""

CONFLICT_SECONDS = 0.5
"""Between two tries of a write that met somebody else's."""

PROMETHEUS_SECONDS = 20.0
"""How long Prometheus may take to answer a query."""

PROMETHEUS_PAUSE_SECONDS = 2.0
"""Between two tries of a query."""

GONE_SECONDS = 60.0
"""How long KServe may take to remove what it made for a service."""

LOCK_SECONDS = 300.0
"""How long a run waits for another one that leads a rollout of another version."""

MARGIN_SECONDS = 120.0
"""By how much a leader may be late before it counts as gone."""

CREATE_SECONDS = 120.0
"""How long Knative may take to make a revision of a changed predictor."""

ANSWER_SECONDS = 30.0
"""How long a model server may take to answer."""

ROUTE_SECONDS = 30.0
"""How long an address may take to answer after KServe says that it is ready: routes and names spread slowly."""

ROUTE_PAUSE_SECONDS = 1.0
"""Between two tries of an address that does not answer yet."""

POLL_SECONDS = 2.0
"""Between two looks at the cluster."""

FIRST_WORD_SECONDS = 10.0
"""After this, what is missing and why is said, and then whenever that changes."""

PROGRESS_SECONDS = 60.0
"""How often it is said again while it stays the same."""

HOPELESS_SECONDS = 20.0
"""How long a pod must be in a state that seldom passes before it is given up."""
