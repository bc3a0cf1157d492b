"""How long a deployment to a local target waits for each thing, and how often it looks: seconds, for tests to set."""

from __future__ import annotations

LOCK_SECONDS = 300.0
"""How long one deployment waits for another to the same endpoint."""

FRONT_SECONDS = 60.0
"""How long a front may take to listen."""

STEP_POLL_SECONDS = 0.2
"""Between two looks at a canary while a step lasts."""

ENDING_SECONDS = 1.0
"""How long a canary that fails may take to end: killed, it breaks its connections a moment before it is gone."""

PAIRS_PAUSE_SECONDS = 0.01
"""Between two pairs of compared requests, so that live ones do not wait for forty at a time."""

PAIRS_SECONDS = 5.0
"""How long comparing may take: a slow model is compared by fewer pairs."""

OWN_SECONDS = 120.0
"""How long the model's own predictions may take."""

DRAIN_SECONDS = 60.0
"""How long a replaced model server may take to finish its requests before it is ended."""

READY_SECONDS = 180.0
"""How long a version may take to be ready, the libraries' import included."""

READY_POLL_SECONDS = 0.1
"""Between two looks at a server that loads: asking costs a millisecond that live requests could have."""

PROGRESS_SECONDS = 10.0
"""How often a wait says that it still waits."""

HOST_SECONDS = 30.0
"""How long the serving container may take to listen: it may just be starting."""

POLL_SECONDS = 0.02
"""Between two looks at a process, a lock or the front's routes."""
