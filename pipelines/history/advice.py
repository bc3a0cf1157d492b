"""What a person does next after a run, as commands to copy."""

from __future__ import annotations

import shlex

from mainspring.pipelines.history.records import RunRecord

LOCAL = "local://"


def next_steps(record: RunRecord, root: str = "") -> list[tuple[str, str]]:
    """Returns what can be done next: what for, and the command.

    Args:
        record: The run.
        root: The local root, where it is not the default one.
    """
    target, outcome = record.target, record.outcome
    where = f" --root {shlex.quote(root)}" if root else ""
    steps = []
    if outcome.version and target:
        local = where if target.startswith(LOCAL) else ""
        if outcome.before and outcome.before != outcome.version:
            steps.append(
                (f"Go back to version {outcome.before}", f"mainspring rollback {target} --to {outcome.before}{local}")
            )
        if target.startswith(LOCAL):
            steps.append(("Stop the endpoint", f"mainspring endpoints stop {target.removeprefix(LOCAL)}{local}"))
        steps.append(("Where this version comes from", f"mainspring explain {target}{local}"))
    failed = next((task for task in record.tasks if task.get("state") == "failed"), None)
    if failed:
        steps.append(("Read the log", f"mainspring runs show {record.run} --log {failed['name']}{where}"))
    return steps
