"""When a recurring run was due, from what KFP tells a step of it."""

from __future__ import annotations

from mainspring.components.common.errors import UserError

DUE = ("due", "[[ScheduledTime]]")
"""What asks for the run's own due time. KFP replaces the second in old pipelines only."""

CURE = "give the time itself as scheduled_time, such as 2026-11-30T05:00:00Z, or the span"


def due_time(asked: str, due: str, created: str) -> str:
    """Returns the time that `latest` is meant by; empty: whatever is newest.

    Args:
        asked: The pipeline's `scheduled_time`: a time, one of `DUE`, or empty.
        due: What KFP gives for `PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER`.
        created: What it gives for `PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER`.

    Raises:
        UserError: The due time is asked for and is not known exactly. KFP then gives the time at which the run was
            made, without a word: a run that was caught up would read another day's data.
    """
    if asked.strip() not in DUE:
        return asked
    if not due or due.startswith("{{"):
        raise UserError(f"scheduled_time: this Kubeflow Pipelines does not tell when a run was due (2.16 does); {CURE}")
    # A run may be made within the second in which it is due, and schedules fire on whole minutes.
    if due == created and not due.rstrip("Z").endswith(":00"):
        raise UserError(
            "scheduled_time: it is not known when this run was due, only when it was made; it was started by hand, or "
            "its schedule leaves the pipeline's version open, or its account may not `get` workflows (argoproj.io); "
            f"{CURE}"
        )
    print(f"due at {due}", flush=True)
    return due
