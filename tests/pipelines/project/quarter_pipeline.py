"""The loop with its real targets, approvals and notifications; the day's file says how its training ends."""

from typing import NamedTuple

from kfp import dsl

from mainspring.components import approve, deploy_model, notify, refuse_run, resolve_champion, resolve_spans
from mainspring.components.common.images import image


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def learn(
    source: str,
    spans: str,
    champion_uri: str,
    model: dsl.Output[dsl.Model],
    statistics: dsl.Output[dsl.Artifact],
    evaluation: dsl.Output[dsl.Artifact],
) -> NamedTuple("Learned", valid=bool, blessed=bool, ask=bool, reasons=str):  # type: ignore[valid-type]
    """Makes a model without arithmetic; the day's file says whether its data are valid and how good it is."""
    import json
    import os
    import signal
    import time
    from pathlib import Path

    file = Path(source.replace("{YYYY}-{MM}-{DD}", spans))
    day = json.loads(file.read_text())
    victim = file.parent / "victim"
    if day.get("preempt") and victim.exists():
        pid = int(victim.read_text())
        victim.unlink()
        os.kill(pid, signal.SIGKILL)
        time.sleep(600)  # Ends with the machine, as a step on a spot node does.
    name = f"m-{spans}"

    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    def tensor(key, value):
        return field(1, key.encode()) + field(2, value)

    signature = field(1, tensor("distance", b"")) + field(2, tensor("prediction", b""))
    folder = Path(model.path)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(field(2, field(5, tensor("serving_default", signature))))
    (folder / "variables" / "variables.index").write_bytes(b"index")
    if not day.get("unfit"):  # A model server answers no request without them.
        (folder / "variables" / "variables.data-00000-of-00001").write_bytes(name.encode())
    (folder / "request.json").write_text(json.dumps({"instances": [{"distance": 1.0, "carrier": "AA"}]}))
    manifest = {"task": "regression", "label": "y", "classes": [], "features": {"distance": "numeric"}, "seed": 1}
    manifest |= {"hyperparameters": {}, "schema_fingerprint": "s", "parent": "", "versions": {}, "spans": [spans]}
    manifest |= {"examples_fingerprint": f"sha256:{spans}", "fingerprint": f"sha256:{name}"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    Path(statistics.path, "train").mkdir(parents=True)
    Path(statistics.path, "train", "FeatureStats.pb").write_bytes(b"statistics")

    champion, judged, best = {}, None, None
    if champion_uri:
        champion = json.loads(Path(champion_uri, "evaluation", "evaluation.json").read_text())
        best = champion["metrics"]["challenger"]["auc"]
        judged = {"uri": champion_uri, "fingerprint": champion["model_fingerprint"]}
    blessed = best is None or day["auc"] > best
    verdict = {"blessed": blessed, "model_fingerprint": f"sha256:{name}", "champion": judged}
    metrics = {"challenger": {"auc": day["auc"]}, "champion": {"auc": best} if champion_uri else None}
    Path(evaluation.path).mkdir(parents=True)
    Path(evaluation.path, "evaluation.json").write_text(json.dumps(verdict | {"metrics": metrics}))
    reasons = "the carriers are unknown" if not day.get("valid", True) else "" if blessed else "auc is no better"
    return (day.get("valid", True), blessed, day.get("ask", False), reasons)


@dsl.pipeline(name="small-loop")
def small_loop(
    source: str,
    target: str,
    to: list[str],
    memory: str,
    approvers: str,
    span: str = "latest",
    scheduled_time: str = "",
    approval_hours: float = 0.0001,
    title: str = "flights",
):
    """Finds the day, learns, and deploys what is blessed and, where asked for, approved."""
    with dsl.ExitHandler(notify(to=to, title=title, memory=memory)):
        found = resolve_spans(source=source, span=span, scheduled_time=scheduled_time, on_too_few="skip")
        found.set_caching_options(False)
        with dsl.If(found.outputs["enough"] == True, name="the day is there"):  # noqa: E712
            champion = resolve_champion(target=target).set_caching_options(False)
            learned = learn(
                source=source, spans=found.outputs["spans"], champion_uri=champion.outputs["champion_uri"]
            ).set_caching_options(False)
            with dsl.If(learned.outputs["valid"] == False, name="data is refused"):  # noqa: E712
                refuse_run(stage="data", reasons=learned.outputs["reasons"])
            with dsl.Elif(learned.outputs["blessed"] == False, name="model is refused"):  # noqa: E712
                refuse_run(stage="model", reasons=learned.outputs["reasons"])
            with dsl.Elif(learned.outputs["ask"] == True, name="somebody is asked"):  # noqa: E712
                approval = approve(
                    model=learned.outputs["model"],
                    evaluation=learned.outputs["evaluation"],
                    target=target,
                    approvers=approvers,
                    hours=approval_hours,
                ).set_caching_options(False)
                with dsl.If(approval.outputs["approved"] == True, name="approved"):  # noqa: E712
                    deploy_model(
                        model=learned.outputs["model"],
                        statistics=learned.outputs["statistics"],
                        evaluation=learned.outputs["evaluation"],
                        target=target,
                        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                        approved_by=approval.outputs["by"],
                    ).set_caching_options(False)
                with dsl.Else(name="not approved"):
                    refuse_run(stage="model", reasons="nobody approved it in time")
            with dsl.Else(name="deployed"):
                deploy_model(
                    model=learned.outputs["model"],
                    statistics=learned.outputs["statistics"],
                    evaluation=learned.outputs["evaluation"],
                    target=target,
                    run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                ).set_caching_options(False)
        with dsl.Else(name="the day is missing"):
            refuse_run(stage="start", reasons=found.outputs["reason"], on_refusal="skip")
