"""Judge live traffic and, where that pays, train anew: the loop's last stage, and its first ones again."""

import contextlib
from typing import Any

from kfp import dsl

from mainspring.components import decide_retraining, monitor_endpoint, resolve_champion
from mainspring.pipelines.continuous_training import notify_step, training_pipeline
from mainspring.pipelines.pods.restricted import run_as_nobody
from mainspring.pipelines.pods.storage_secret import reach_storage


def monitoring_pipeline(parts: frozenset[str] = frozenset()) -> Any:
    """Returns `continuous_monitoring` with the given parts, as `loop.resolve_inputs.PARTS` names them."""
    train_anew = training_pipeline(parts - {"notification"})

    @dsl.pipeline(
        name="continuous-monitoring",
        description="Judges a window of live traffic and, if that pays, runs continuous training in the same run.",
    )
    def continuous_monitoring(
        logs: str,
        source: str,
        label: str,
        target: str,
        hours: float = 0.0,
        as_of: str = "",
        journal: str = "",
        monitoring_policy: str = "",
        labels: str = "",
        labels_query: str = "",
        label_key: list[str] = ["id", "row"],  # noqa: B006
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
        module: str = "",
        model: str = "network",
        rises_with: str = "",
        threshold: str = "",
        cost: str = "",
        hyperparameters: str = "",
        warm_start: bool = False,
        checkpoints: str = "",
        evaluation_policy: str = "",
        on_broken_champion: str = "refuse",
        models_root: str = "",
        rollout: str = "100",
        allow_older: bool = False,
        serving_policy: str = "",
        model_registry: str = "",
        on_refusal: str = "fail",
        approvers: str = "",
        approvals_uri: str = "",
        approval_hours: float = 24.0,
        notify_to: list[str] = [],  # noqa: B006
        notify_when: str = "failure",
        notify_memory: str = "",
    ):
        """Judges a window of live traffic and, if that pays, runs continuous training in the same run."""
        told = notify_step(parts, notify_to, notify_when, notify_memory, target)
        with dsl.ExitHandler(told, name="loop") if told else contextlib.nullcontext():
            champion = resolve_champion(target=target, models_root=models_root).set_display_name("Find what is served")
            champion.set_caching_options(False)

            monitored = monitor_endpoint(
                logs=logs,
                version_uri=champion.outputs["champion_uri"],
                hours=hours,
                as_of=as_of,
                journal=journal,
                policy=monitoring_policy,
                labels=labels,
                labels_query=labels_query,
                label_key=label_key,
                target=target,
            ).set_display_name("Monitor the endpoint")
            monitored.set_caching_options(False)

            decided = decide_retraining(
                monitoring=monitored.outputs["monitoring"], journal=journal, policy=monitoring_policy
            ).set_display_name("Decide on retraining")
            decided.set_caching_options(False)

            with dsl.If(decided.outputs["retrain"] == True, name="retraining pays"):  # noqa: E712
                train_anew(
                    source=source,
                    label=label,
                    target=target,
                    span=span,
                    window=window,
                    scheduled_time=scheduled_time,
                    exclude_spans=exclude_spans,
                    min_spans=min_spans,
                    on_too_few=on_too_few,
                    query=query,
                    tables=tables,
                    types=types,
                    eval_fraction=eval_fraction,
                    split_columns=split_columns,
                    time_column=time_column,
                    schema_uri=schema_uri,
                    validation_policy=validation_policy,
                    key=key,
                    timestamp=timestamp,
                    max_age_days=max_age_days,
                    exclude=exclude,
                    accept=accept,
                    task=task,
                    max_epochs=max_epochs,
                    module=module,
                    model=model,
                    rises_with=rises_with,
                    threshold=threshold,
                    cost=cost,
                    hyperparameters=hyperparameters,
                    warm_start=warm_start,
                    checkpoints=checkpoints,
                    evaluation_policy=evaluation_policy,
                    on_broken_champion=on_broken_champion,
                    models_root=models_root,
                    rollout=rollout,
                    allow_older=allow_older,
                    serving_policy=serving_policy,
                    model_registry=model_registry,
                    on_refusal=on_refusal,
                    approvers=approvers,
                    approvals_uri=approvals_uri,
                    approval_hours=approval_hours,
                ).set_display_name("Train anew")

        run_as_nobody()
        reach_storage()

    return continuous_monitoring


continuous_monitoring = monitoring_pipeline()
