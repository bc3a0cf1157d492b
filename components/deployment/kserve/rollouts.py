"""A rollout on KServe, step by step: apply, wait, judge, go on or take back; and finishing what another run left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import replay
from mainspring.components.deployment.kserve import cancelling, candidates, durations, objects, prometheus, reach
from mainspring.components.deployment.kserve import lead as leading
from mainspring.components.deployment.kserve.lead import Lead
from mainspring.components.deployment.kserve.objects import STANDARD, Version
from mainspring.components.deployment.kserve.record import Overtaken
from mainspring.components.deployment.replay import Replay
from mainspring.components.deployment.rollouts import Plan, RolloutFailed
from mainspring.components.deployment.versions import takeovers


def settle(lead: Lead, coming: str) -> None:
    """Finishes or takes back what an earlier run left, and believes the service where the record disagrees with it.

    Args:
        lead: The service.
        coming: URI of the version that is deployed now: a rollout of that one goes on from its first step.
    """
    found = lead.found()
    known = lead.record
    if lead.cluster.mode == STANDARD:
        candidates.remove(lead)  # Whoever made it is gone, and its version is judged anew.
    if found is None:
        if known.champion or known.candidate:
            lead.note(champion=None, candidate=None, restoring=False)
        return
    specified = objects.specified(found)
    percent = found.get("spec", {}).get("predictor", {}).get("canaryTrafficPercent")
    if known.candidate and known.champion is None:
        pass  # The first version never came up: whoever deploys now brings theirs up.
    elif known.candidate:
        promoted = specified == known.candidate and percent is None
        if promoted:
            print(f"{lead.title}: finishes the rollout of version {known.candidate.number}", flush=True)
            lead.wait(known.candidate, leading.has_all(lead, known.candidate))
            _finish(lead, known.candidate)
        elif known.candidate.uri != coming or known.restoring:
            print(f"{lead.title}: takes back a rollout that was not finished", flush=True)
            take_back(lead)
    elif specified and specified != known.champion:
        lead.note(champion=specified, history=_appended(lead, specified))


def first(lead: Lead, version: Version) -> None:
    """Brings a service's first version up; where it does not come up, there is no service, as before.

    Raises:
        UserError: It does not come up, or does not predict as evaluation did.
    """
    held_out = _replay_of(lead, version)
    lead.note(candidate=version, before=lead.newest() if lead.record.champion else "", percent=100)
    try:
        lead.apply(version)
        found = lead.wait(version, leading.has_all(lead, version))
        reasons = reach.parity(lead.api, _address(lead, version, found), held_out)
        if reasons:
            raise RolloutFailed(f"{lead.title}: version {version.number} is up but unfit: {'; '.join(reasons)}")
    except Overtaken:
        raise
    except UserError:
        _leave_nothing(lead)
        raise
    _finish(lead, version)


def _leave_nothing(lead: Lead) -> None:
    """Removes a service that this run made and that never served; one that cannot be told is the next run's."""
    with contextlib.suppress(UserError):
        if lead.cluster.service is None:
            lead.api.delete(objects.path(lead.target))
            lead.note(candidate=None)
    lead.release()


def follow(lead: Lead, version: Version, plan: Plan) -> None:
    """Leads a version through the steps to all traffic; on any trouble the champion gets everything back.

    Raises:
        RolloutFailed: It was judged unfit; it is withdrawn.
        UserError: It does not come up, or the cluster does not do as it is told.
    """
    champion = lead.record.champion
    assert champion is not None
    held_out = _replay_of(lead, version)
    try:
        if lead.record.candidate != version:
            lead.note(candidate=version, before=lead.newest(), percent=0)
        if lead.cluster.mode == STANDARD:
            _try_beside(lead, champion, version, held_out)
        else:
            _try_by_shares(lead, champion, version, held_out, plan)
        lead.note(percent=100)
        lead.apply(version)
        found = lead.wait(version, leading.has_all(lead, version))
        reasons = reach.parity(lead.api, _address(lead, version, found), held_out)
        if reasons:
            raise RolloutFailed(_taken_back(lead, version, "with all traffic", reasons))
    except Overtaken:
        raise
    except UserError as error:
        if isinstance(error, RolloutFailed):
            gone = takeovers.withdrawal_of(version.number, version.uri, str(error))
            others = tuple(each for each in lead.record.withdrawn if each.uri != version.uri)
            with contextlib.suppress(UserError):
                lead.note(withdrawn=(*others, gone))
        try:
            take_back(lead)
        except UserError as trouble:
            lead.release()
            raise UserError(
                f"{error}; taking it back failed as well ({trouble}): the next run, or `mainspring rollback "
                f"{lead.title}`, does it"
            ) from error
        raise
    _finish(lead, version)


def _try_beside(lead: Lead, champion: Version, version: Version, held_out: Replay) -> None:
    """Judges a version without traffic in a service of its own, which is gone afterwards."""
    lead.note(percent=0)
    candidates.start(lead, version)
    mine = reach.standard(objects.candidate_of(lead.target), lead.policy)
    theirs = reach.standard(lead.target, lead.policy)
    reasons = reach.parity(lead.api, mine, held_out)
    reasons = reasons or reach.latency(lead.api, mine, theirs, held_out)
    _say_verdict(lead, version, 0, held_out, reasons)
    if reasons:
        raise RolloutFailed(_taken_back(lead, version, "at 0 % of the traffic", reasons))
    candidates.remove(lead)


def _try_by_shares(lead: Lead, champion: Version, version: Version, held_out: Replay, plan: Plan) -> None:
    """Judges a version at each of a plan's shares of the traffic before the last, the first being none."""
    for percent in sorted({0, *(int(percent) for percent in plan.percents)})[:-1]:
        lead.note(percent=percent)
        lead.apply(version, percent)
        found = lead.wait(version, leading.has_share(lead, percent))
        reasons = _judge(lead, champion, version, held_out, percent, plan.seconds, found)
        if reasons:
            raise RolloutFailed(_taken_back(lead, version, f"at {percent} % of the traffic", reasons))


def take_back(lead: Lead) -> None:
    """Gives the champion everything, and waits until it has it.

    Knative routes to its newest *ready* revision: the canary's share goes to 0 first, then the champion's predictor
    becomes the newest revision at 0 %, and only once that is ready does it get everything.
    """
    champion, candidate = lead.record.champion, lead.record.candidate
    assert champion is not None
    if lead.cluster.mode == STANDARD:
        candidates.remove(lead)
    else:
        if candidate and not lead.record.restoring:
            _restore(lead, candidate)
        lead.apply(champion, 0)
        lead.wait(champion, _is_newest_ready(lead))
    lead.apply(champion)
    lead.wait(champion, leading.has_all(lead, champion))
    lead.note(candidate=None, restoring=False, percent=0)
    print(f"{lead.title}: version {champion.number} has all traffic again", flush=True)


def _restore(lead: Lead, candidate: Version) -> None:
    lead.apply(candidate, 0)

    def gone(found: dict[str, Any]) -> str:
        status = objects.component(found)
        created = status.get("latestCreatedRevision")
        if created == lead.record.before:
            return "Knative has not made the canary's revision"
        shares = status.get("traffic") or []
        share = sum(each.get("percent") or 0 for each in shares if each.get("revisionName") == created)
        return f"the canary still has {share} % of the traffic" if share else ""

    lead.wait(candidate, gone, durations.CREATE_SECONDS)
    lead.note(before=lead.newest(), restoring=True)


def _is_newest_ready(lead: Lead) -> Any:
    def arrived(found: dict[str, Any]) -> str:
        status = objects.component(found)
        created = status.get("latestCreatedRevision")
        if not created or created == lead.record.before:
            return "Knative has not made the champion's revision"
        return "" if status.get("latestReadyRevision") == created else f"revision {created} is not ready"

    return arrived


def _replay_of(lead: Lead, version: Version) -> Replay:
    held_out = replay.held_out(version.uri)
    # Only our own runtime takes rows with missing values.
    return held_out if lead.policy.runtime else replay.complete(held_out)


def _judge(
    lead: Lead,
    champion: Version,
    version: Version,
    held_out: Replay,
    percent: int,
    seconds: float,
    found: dict[str, Any],
) -> list[str]:
    canary = _address(lead, version, found)
    reasons = reach.parity(lead.api, canary, held_out)
    reasons = reasons or reach.latency(lead.api, canary, _address(lead, champion, found), held_out)
    deadline = time.monotonic() + (seconds if percent else 0.0)
    while not reasons and time.monotonic() < deadline:
        time.sleep(min(durations.POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        cancelling.check(lead.title)
        problem = leading.has_share(lead, percent)(lead.found() or {})
        reasons = [problem] if problem else []
    if percent and not reasons and lead.policy.prometheus:
        reasons = _live(lead, champion, version, found)
    _say_verdict(lead, version, percent, held_out, reasons)
    return reasons


def _say_verdict(lead: Lead, version: Version, percent: int, held_out: Replay, reasons: list[str]) -> None:
    verdict = "unfit" if reasons else "fit to go on"
    print(f"{lead.title}: version {version.number} at {percent} %: {len(held_out.rows)} rows: {verdict}", flush=True)


def _live(lead: Lead, champion: Version, version: Version, found: dict[str, Any]) -> list[str]:
    """Judges live requests by Prometheus; what it cannot tell is no reason to go on."""

    def naming(each: Version) -> Callable[[str], str]:
        which = "latestReadyRevision" if objects.specified(found) == each else "latestRolledoutRevision"
        predictor = str(objects.component(found).get(which))
        return lambda query: query.replace("{predictor}", predictor).replace("{namespace}", lead.target.namespace)

    return prometheus.judge(lead.policy, naming(version), naming(champion))


def _address(lead: Lead, version: Version, found: dict[str, Any]) -> reach.Address:
    return reach.address(lead.target, lead.cluster.mode, lead.policy, version, found)


def _taken_back(lead: Lead, version: Version, where: str, reasons: list[str]) -> str:
    champion = lead.record.champion
    assert champion is not None
    return (
        f"{lead.title}: version {version.number} is taken back {where}: {'; '.join(reasons)}. "
        f"Version {champion.number} serves everything"
    )


def _finish(lead: Lead, version: Version) -> None:
    replaced = f" in place of {lead.record.champion.number}" if lead.record.champion else ""
    lead.note(champion=version, candidate=None, percent=0, restoring=False, history=_appended(lead, version))
    print(f"{lead.title} serves version {version.number}{replaced}", flush=True)


def _appended(lead: Lead, version: Version) -> tuple[takeovers.Takeover, ...]:
    return takeovers.appended(lead.record.history, version.number, version.uri, takeovers.now())
