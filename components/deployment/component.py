"""The KFP interface of deployment: what is served, serving something better, and ending a run that was refused."""

from typing import List, NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def resolve_champion(
    target: str, examples_fingerprint: str = "", models_root: str = "", warm_start: bool = False
) -> NamedTuple("Champion", champion_uri=str, baseline_uri=str, version=int, parent_uri=str):  # type: ignore[valid-type]
    """Asks the target what it serves now. Switch caching off for this step: the answer changes.

    Args:
        target: `local://<name>` or `kserve://<namespace>/<name>`.
        examples_fingerprint: From `ingest_examples`. If the champion was trained on these very examples, they are
            compared with the data before them, not with themselves: a repeated run gets the same baseline as the first.
        models_root: URI under which versions are published; empty: the local root's `models/`.
        warm_start: Whether `train_model` is to begin with a served model.

    Returns:
        champion_uri: The published version that is served; empty if there is none.
        baseline_uri: The published version whose data is the baseline for these examples; empty if there is none.
        version: The served version; 0 if there is none.
        parent_uri: For `train_model`: with `warm_start` the baseline's version, so that a repeated run begins where the
            first one did; else empty, so that what is served does not decide whether training's result is reused.
    """
    from mainspring.components.deployment.resolve_champion import resolve_champion

    return resolve_champion(
        target=target, examples_fingerprint=examples_fingerprint, models_root=models_root, warm_start=warm_start
    )


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def deploy_model(
    model: dsl.Input[dsl.Model],
    statistics: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    target: str,
    baseline_uri: str = "",
    models_root: str = "",
    rollout: str = "100",
    rollout_seconds: float = 10.0,
    serving_policy: str = "",
    run_id: str = "",
    allow_older: bool = False,
    approved_by: str = "",
    approved: bool = True,
    reasons: str = "",
    terms: str = "",
) -> NamedTuple("Deployed", version=int, version_uri=str, endpoint=str):  # type: ignore[valid-type]
    """Publishes the next version of a blessed model and serves it at the target. Switch caching off for this step.

    A model that is the newest version already is not published again; it is only made sure that the target serves it.
    A model that was rolled back at the target, or one trained from the very same data and settings, is refused.

    Args:
        model: From `train_model`.
        statistics: From `validate_examples`; published with the model, as the baseline of later data.
        evaluation: From `evaluate_model`; a model that is not blessed in it is refused.
        target: `local://<name>` or `kserve://<namespace>/<name>`.
        baseline_uri: From `resolve_champion`; recorded in the version.
        models_root: URI under which versions are published; empty: the local root's `models/`.
        rollout: The version's share of the traffic, step by step, in percent, such as `0,10,50,100`. At each step it is
            judged: held-out rows replayed through it give evaluation's predictions, and neither errors nor latency
            exceed the champion's. A version that fails is taken back and withdrawn. `100`: all traffic at once.
        rollout_seconds: How long live traffic is watched at each step between 0 and 100.
        serving_policy: YAML, or the path of a YAML file: how a cluster serves the model (runtime, replicas, resources,
            payload logging, Prometheus queries). What it leaves out stays as the cluster and its people have it.
        run_id: `dsl.PIPELINE_JOB_ID_PLACEHOLDER`: recorded in the version, and on what serves it.
        allow_older: Whether a model may replace one that was trained on newer data, as a backfill or a caught-up run
            would. Otherwise what is served stays, and the step says so.
        approved_by: From `approve`: who approved the model; recorded in the version.
        approved: From `approve`: a model that nobody approved is refused.
        reasons: From `evaluate_model`: what a model that is not blessed is refused with.
        terms: From `validate_examples`: data that are no longer valid are refused.

    Returns:
        version: The version that is served.
        version_uri: Where it is published.
        endpoint: The URL that answers predictions.
    """
    from mainspring.components.deployment.deploy_model import deploy_model

    return deploy_model(
        model=model.path,
        statistics=statistics.path,
        evaluation=evaluation.path,
        target=target,
        baseline_uri=baseline_uri,
        models_root=models_root,
        rollout=rollout,
        rollout_seconds=rollout_seconds,
        serving_policy=serving_policy,
        run_id=run_id,
        allow_older=allow_older,
        approved_by=approved_by,
        approved=approved,
        reasons=reasons,
        terms=terms,
    )


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def rollback_model(
    target: str, version: int = 0, reason: str = "", serving_policy: str = "", replacing: int = 0
) -> NamedTuple("RolledBack", version=int, version_uri=str, endpoint=str, replaced=int):  # type: ignore[valid-type]
    """Serves an earlier version again, with a deployment's care. Switch caching off for this step.

    The versions that were served since are withdrawn: `deploy_model` refuses them at this target, so that an unchanged
    run does not put them back.

    Args:
        target: `local://<name>` or `kserve://<namespace>/<name>`.
        version: The version to serve; 0: the one that was served before the current one. A withdrawn version may be
            named as well: it is served, and no longer withdrawn.
        reason: Recorded, and shown when a withdrawn model is refused.
        serving_policy: How a cluster serves it; empty: as the last deployment said.
        replacing: The version that must go. Where it does not serve, nothing is done: give it in a step that may be
            retried, which then goes back no further. 0: whatever is served.

    Returns:
        version: The version that is served now.
        version_uri: Where it is published.
        endpoint: The URL that answers predictions.
        replaced: The version that was served before.
    """
    from mainspring.components.deployment.rollback_model import rollback_model

    return rollback_model(
        target=target, version=version, reason=reason, serving_policy=serving_policy, replacing=replacing
    )


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def refuse_run(stage: str, reasons: str, page: dsl.Output[dsl.Markdown], on_refusal: str = "fail") -> NamedTuple(
    "Refused", refused=str
):  # type: ignore[valid-type]
    """Ends a run whose data or model was refused: says why, and fails unless told otherwise.

    Args:
        stage: What was refused: `data` or `model`, or the `start` of the run.
        reasons: The verdict's reasons, separated by newlines.
        page: Says what was refused, and why, in the Kubeflow UI.
        on_refusal: `fail`: this step fails and with it the run; `skip`: the run ends as succeeded, with nothing
            deployed.

    Returns:
        refused: What was refused and why, in one line.
    """
    from mainspring.components.deployment.refuse_run import refuse_run

    return (refuse_run(stage=stage, reasons=reasons, on_refusal=on_refusal, page=page.path),)


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def approve(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    target: str,
    approvers: str,
    approvals_uri: str = "",
    hours: float = 24.0,
    reasons: str = "",
) -> NamedTuple("Approval", approved=bool, by=str, request=str):  # type: ignore[valid-type]
    """Waits for a person's approval of a blessed model at a target. Switch caching off for this step.

    The answer is signed with the person's SSH key (`mainspring approve`), is for this one model at this one target,
    and counts only until the request expires. No answer in time is a no.

    Args:
        model: From `train_model`.
        evaluation: From `evaluate_model`; a model that is not blessed in it is not asked for.
        target: Where it would be served.
        approvers: YAML, or the path of a YAML file: public keys (`ssh-ed25519 …`) by name.
        approvals_uri: Folder or bucket of requests and answers; empty: the local root's `approvals/`.
        hours: How long an answer is waited for.
        reasons: From `evaluate_model`: what a model that is not blessed is refused with.

    Returns:
        approved: Whether an approver said yes in time.
        by: Who answered; empty if nobody did.
        request: Where the request and its answer are.
    """
    from mainspring.components.deployment.approve import approve

    return approve(
        model=model.path,
        evaluation=evaluation.path,
        target=target,
        approvers=approvers,
        approvals_uri=approvals_uri,
        hours=hours,
        reasons=reasons,
    )


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def notify(
    status: dsl.PipelineTaskFinalStatus, to: List[str], title: str = "", when: str = "failure", memory: str = ""
) -> None:
    """Tells people how a run ended: the exit task of a `dsl.ExitHandler`. It is never answered from the cache.

    Args:
        status: Given by the exit handler.
        to: Addresses: `https://…` (a webhook, which gets JSON), `slack:` (the URL is in `$MAINSPRING_SLACK_URL`) or
            `mailto:person@example.com` (the server is in `$MAINSPRING_SMTP_URL`); mount the secrets as variables.
        title: Of the pipeline or the model, for the first line.
        when: `failure` (a refusal as well) or `always`.
        memory: Folder or bucket that remembers what was told: of the same trouble in several runs people are told
            once, then once that it is still there, and once that it is over. Empty: they are told each time.
    """
    from mainspring.components.deployment.notify import notify

    notify(
        to=to,
        state=status.state,
        run=status.pipeline_job_resource_name,
        error=status.error_message or "",
        title=title,
        when=when,
        memory=memory,
    )
