"""Ingest, validate, train, evaluate, deploy: the loop's first five stages."""

import contextlib
from typing import Any

from kfp import dsl

from mainspring.components import (
    approve,
    confirm_verdict,
    deploy_model,
    evaluate_model,
    ingest_examples,
    notify,
    refuse_run,
    register_model,
    resolve_inputs,
    train_model,
    validate_examples,
)
from mainspring.pipelines.pods.restricted import run_as_nobody
from mainspring.pipelines.pods.storage_secret import reach_storage


def training_pipeline(parts: frozenset[str] = frozenset()) -> Any:
    """Returns `continuous_training` with the given parts, as `loop.resolve_inputs.PARTS` names them."""
    branches = "branches" in parts

    @dsl.pipeline(
        name="continuous-training",
        description="Trains a challenger on the newest data and deploys it if data and model pass their gates.",
    )
    def continuous_training(
        source: str,
        label: str,
        target: str,
        span: str = "latest",
        window: int = 1,
        scheduled_time: str = "",
        exclude_spans: str = "",
        min_spans: int = 1,
        on_too_few: str = "fail",
        query: str = "",
        tables: list[str] = [],  # noqa: B006
        types: dict[str, str] = {},  # noqa: B006
        eval_fraction: float = 0.2,
        split_columns: list[str] = [],  # noqa: B006
        time_column: str = "",
        schema_uri: str = "",
        validation_policy: str = "",
        key: list[str] = [],  # noqa: B006
        timestamp: str = "",
        max_age_days: float = 0.0,
        exclude: list[str] = [],  # noqa: B006
        accept: list[str] = [],  # noqa: B006
        task: str = "auto",
        max_epochs: int = 0,
        model: str = "network",
        rises_with: str = "",
        threshold: str = "",
        cost: str = "",
        module: str = "",
        hyperparameters: str = "",
        warm_start: bool = False,
        checkpoints: str = "",
        evaluation_policy: str = "",
        on_broken_champion: str = "refuse",
        models_root: str = "",
        rollout: str = "100",
        serving_policy: str = "",
        allow_older: bool = False,
        model_registry: str = "",
        on_refusal: str = "fail",
        approvers: str = "",
        approvals_uri: str = "",
        approval_hours: float = 24.0,
        notify_to: list[str] = [],  # noqa: B006
        notify_when: str = "failure",
        notify_memory: str = "",
    ):
        """Trains a challenger on the newest data and deploys it if data and model pass their gates.

        In a recurring run over spans by date, give `scheduled_time` as `due`: the run's own due time.
        `span=latest` then means the last period that had ended by that time, so that a run that starts late, is
        caught up or is repeated reads what it was meant to read. A backfill gives `span` instead, a run for
        each.

        `accept` names columns that are meant to be otherwise from now on (added, dropped, renamed, of new
        values or another type): the schema learns them anew in this run. A refusal of the data prints it ready
        to paste.

        A refusal ends the run at the step that would have gone on. `on_refusal=skip` and `on_too_few=skip` take
        branches, `approvers` the step that asks them, `notify_to` the step that tells how the run ended: a run
        by name, and `mainspring compile -p`, have the parts that the parameters ask for.
        """
        told = notify_step(parts, notify_to, notify_when, notify_memory, target)
        with dsl.ExitHandler(told, name="loop") if told else contextlib.nullcontext():
            found = resolve_inputs(
                source=source,
                target=target,
                span=span,
                window=window,
                scheduled_time=scheduled_time,
                exclude=exclude_spans,
                min_spans=min_spans,
                on_too_few=on_too_few,
                due=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
                created=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
                models_root=models_root,
                warm_start=warm_start,
                query=query,
                tables=tables,
                types=types,
                eval_fraction=eval_fraction,
                split_columns=split_columns,
                time_column=time_column,
                on_refusal=on_refusal,
                approvers=approvers,
                notify_to=notify_to,
                parts=" ".join(sorted(parts)),
            ).set_display_name("Find the data and the champion")
            found.set_caching_options(False)

            with _only_if(branches, found.outputs["enough"], "spans are there"):
                ingested = ingest_examples(
                    source=source,
                    spans=found.outputs["spans"],
                    query=query,
                    tables=tables,
                    types=types,
                    eval_fraction=eval_fraction,
                    split_columns=split_columns,
                    time_column=time_column,
                    source_fingerprint=found.outputs["fingerprint"],
                    baseline_uri=found.outputs["baseline_uri"],
                    schema_uri=schema_uri,
                    accept=accept,
                ).set_display_name("Ingest examples")

                validated = validate_examples(
                    examples=ingested.outputs["examples"],
                    label=label,
                    schema_uri=schema_uri,
                    baseline_uri=found.outputs["baseline_uri"],
                    policy=validation_policy,
                    key=key,
                    exclude=exclude,
                    timestamp=timestamp,
                    max_age_days=max_age_days,
                    accept=accept,
                ).set_display_name("Validate examples")

                verdict = validated.outputs
                if branches:
                    confirmed = confirm_verdict(
                        valid=validated.outputs["valid"],
                        reasons=validated.outputs["reasons"],
                        terms=validated.outputs["terms"],
                    ).set_display_name("Confirm the verdict")
                    confirmed.set_caching_options(False)
                    verdict = confirmed.outputs

                with _only_if(branches, verdict["valid"], "data is valid"):
                    trained = train_model(
                        examples=ingested.outputs["examples"],
                        schema=validated.outputs["schema"],
                        label=label,
                        task=task,
                        max_epochs=max_epochs,
                        exclude=exclude,
                        model_kind=model,
                        rises_with=rises_with,
                        threshold=threshold,
                        cost=cost,
                        module=module,
                        hyperparameters=hyperparameters,
                        parent_uri=found.outputs["parent_uri"],
                        warm_start=warm_start,
                        checkpoints=checkpoints,
                        valid=verdict["valid"],
                        reasons=verdict["reasons"],
                    ).set_display_name("Train model")

                    evaluated = evaluate_model(
                        examples=ingested.outputs["examples"],
                        model=trained.outputs["model"],
                        champion_uri=found.outputs["champion_uri"],
                        policy=evaluation_policy,
                        on_broken_champion=on_broken_champion,
                    ).set_display_name("Evaluate model")

                    with _only_if(branches, evaluated.outputs["blessed"], "model is blessed"):
                        approval = {}
                        if "approval" in parts:
                            asked = approve(
                                model=trained.outputs["model"],
                                evaluation=evaluated.outputs["evaluation"],
                                target=target,
                                approvers=approvers,
                                approvals_uri=approvals_uri,
                                hours=approval_hours,
                                reasons=evaluated.outputs["reasons"],
                            ).set_display_name("Ask for approval")
                            approval = {"approved": asked.outputs["approved"], "approved_by": asked.outputs["by"]}
                        deployed = deploy_model(
                            model=trained.outputs["model"],
                            statistics=validated.outputs["statistics"],
                            evaluation=evaluated.outputs["evaluation"],
                            target=target,
                            baseline_uri=found.outputs["baseline_uri"],
                            models_root=models_root,
                            rollout=rollout,
                            serving_policy=serving_policy,
                            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                            allow_older=allow_older,
                            reasons=evaluated.outputs["reasons"],
                            terms=validated.outputs["terms"],
                            **approval,
                        ).set_display_name("Deploy model")
                        deployed.set_caching_options(False)
                        with dsl.If(model_registry != "", name="there is a registry"):
                            register_model(
                                version_uri=deployed.outputs["version_uri"], registry=model_registry
                            ).set_display_name("Register model").set_caching_options(False)
                    if branches:
                        with dsl.Else(name="model is refused"):
                            refuse_run(
                                stage="model", reasons=evaluated.outputs["reasons"], on_refusal=on_refusal
                            ).set_display_name("Refuse the model").set_caching_options(False)
                if branches:
                    with dsl.Else(name="data is refused"):
                        refuse_run(stage="data", reasons=verdict["reasons"], on_refusal=on_refusal).set_display_name(
                            "Refuse the data"
                        ).set_caching_options(False)
            if branches:
                with dsl.Else(name="too few spans"):
                    refuse_run(stage="start", reasons=found.outputs["reason"], on_refusal="skip").set_display_name(
                        "Skip the run"
                    ).set_caching_options(False)

        run_as_nobody()
        reach_storage()

    return continuous_training


def notify_step(parts: frozenset[str], to: Any, when: Any, memory: Any, title: Any) -> Any:
    """Returns the step that tells how the run ended, for an exit handler; None where that is no part."""
    if "notification" not in parts:
        return None
    return notify(to=to, title=title, when=when, memory=memory).set_display_name("Tell how it ended")


def _only_if(branches: bool, condition: Any, name: str) -> contextlib.AbstractContextManager[Any]:
    """Returns a branch, or where there are none what always goes on: then the next step ends the run by itself."""
    return dsl.If(condition == True, name=name) if branches else contextlib.nullcontext()  # noqa: E712


continuous_training = training_pipeline()
