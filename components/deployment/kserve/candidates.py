"""Trying a version in Standard mode: in an InferenceService of its own beside the champion's, judged and removed.

KServe splits no traffic in Standard mode. What it has for canaries from 0.20 on takes one of the champion's pods and
leaves an autoscaler behind. A second service takes nothing from the first.
"""

from __future__ import annotations

import time
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import durations, objects, waiting
from mainspring.components.deployment.kserve import lead as leading
from mainspring.components.deployment.kserve.lead import Lead
from mainspring.components.deployment.kserve.objects import Version


def start(lead: Lead, version: Version) -> dict[str, Any]:
    """Brings a version up beside the champion, without traffic, and returns its service.

    Raises:
        UserError: It does not come up, or the name is somebody else's.
    """
    where = objects.candidate_of(lead.target)
    found = lead.api.get(objects.path(where))
    if found and objects.specified(found) is None:
        raise UserError(
            f"{lead.title}: versions are tried in the InferenceService {where.name}, which was not made by Mainspring; "
            "rename it, or choose another name for the target"
        )
    lead.put(where, objects.candidate(lead.target, lead.cluster.word, lead.policy, version))

    def arrived(found: dict[str, Any]) -> str:
        return objects.failure(found) or leading.rolled_out(lead.api, where, version)

    return waiting.until(lead.api, where, version, arrived, lead.policy.ready_seconds)


def remove(lead: Lead) -> None:
    """Removes the service in which a version was tried, if there is one of ours, and waits until it is gone.

    Raises:
        UserError: The cluster refuses, or does not answer.
    """
    where = objects.candidate_of(lead.target)
    found = lead.api.get(objects.path(where))
    if not found or objects.specified(found) is None:
        return
    lead.api.delete(objects.path(where))
    deadline = time.monotonic() + durations.GONE_SECONDS
    while lead.api.get(objects.path(where)) is not None:
        if time.monotonic() > deadline:
            print(f"{lead.title}: InferenceService {where.name} was deleted and is still there; KServe removes it")
            return
        time.sleep(durations.POLL_SECONDS)
