"""What each path of KFP's REST API v2beta1 does and answers, after the backend's source (2.17)."""

from __future__ import annotations

import json
import re
import time
import uuid
import zlib
from collections.abc import Callable
from typing import Any

import yaml

from tests.pipelines.cluster.kfp_state import ENDED, Json, KfpServer, Refusal


def call(state: KfpServer, asked: Json, path: str) -> Json | None:
    """Does what a path below the API's prefix says, and returns the answer; None if there is no such path.

    Raises:
        Refusal: The API refuses.
    """
    for (method, pattern), function in ROUTES.items():
        if method == asked["method"] and (match := re.fullmatch(pattern, path)):
            answer: Json = _without_zeros(function(state, asked, *match.groups()))
            return answer
    return None


def _without_zeros(value: Any) -> Any:
    """Leaves out what protobuf's JSON leaves out: false, empty and zero; but not within parameters."""
    if isinstance(value, dict):
        kept = {key: inner if key == "parameters" else _without_zeros(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (False, "", None, 0, [])}
    return [_without_zeros(item) for item in value] if isinstance(value, list) else value


def _page(state: KfpServer, asked: Json, field_name: str, items: list[Json]) -> Json:
    query = asked["query"]
    if (
        state.is_multi_user
        and not (query.get("namespace") or query.get("experiment_id"))
        and field_name != "pipeline_versions"
    ):
        raise Refusal(400, "Invalid input error: In multi-user mode, the namespace must be specified")
    for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
        assert predicate["operation"] in (1, "EQUALS"), predicate
        wanted = predicate.get("string_value", predicate.get("stringValue"))
        items = [item for item in items if item.get(predicate["key"]) == wanted]
    if experiment := query.get("experiment_id"):
        items = [item for item in items if item.get("experiment_id") == experiment]
    if query.get("sort_by") == "created_at desc":
        items = sorted(items, key=lambda item: str(item.get("created_at")))[::-1]
    start = int(query.get("page_token") or 0)
    size = min(int(query.get("page_size") or 10), state.page_size)
    rest = str(start + size) if start + size < len(items) else ""
    return {field_name: items[start : start + size], "total_size": len(items), "next_page_token": rest}


def _add(state: KfpServer, kind: str, key: str, item: Json) -> Json:
    item = {key: str(uuid.uuid4()), "created_at": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}", **item}
    getattr(state, kind)[item[key]] = item
    return item


def _get(state: KfpServer, kind: str, identity: str) -> Json:
    try:
        return getattr(state, kind)[identity]
    except KeyError:
        raise Refusal(404, f"ResourceNotFoundError: {kind[:-1]} {identity} not found") from None


def _create_pipeline(state: KfpServer, asked: Json) -> Json:
    given = asked["body"] or {}
    if state.named("pipelines", given["display_name"]):
        raise Refusal(409, f"Already exist error: The name {given['display_name']} already exist")
    return _add(state, "pipelines", "pipeline_id", given)


def _upload_pipeline(state: KfpServer, asked: Json) -> Json:
    name = asked["query"]["name"]
    made = _create_pipeline(state, {"body": {"display_name": name, "namespace": asked["query"].get("namespace", "")}})
    _upload_version(state, {"query": {"name": name, "pipelineid": made["pipeline_id"]}, "body": asked["body"]})
    return made


def _upload_version(state: KfpServer, asked: Json) -> Json:
    query, text = asked["query"], asked["body"]["uploadfile"]
    if query["pipelineid"] not in state.pipelines:
        raise Refusal(400, "Failed to create a pipeline version")
    documents = [
        document for document in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if document
    ]
    if not documents or "root" not in documents[0]:
        raise Refusal(400, "Failed to create a pipeline version")
    taken = [v for v in state.named("versions", query["name"]) if v["pipeline_id"] == query["pipelineid"]]
    if taken:
        raise Refusal(409, "Failed to create a pipeline version")
    spec = documents[0] if len(documents) == 1 else {"pipeline_spec": documents[0], "platform_spec": documents[1]}
    item = {"pipeline_id": query["pipelineid"], "display_name": query["name"], "pipeline_spec": spec}
    return _add(state, "versions", "pipeline_version_id", item | {"description": query.get("description", "")})


def _create_run(state: KfpServer, asked: Json) -> Json:
    given = asked["body"]
    _get(state, "experiments", given["experiment_id"])
    if reference := given.get("pipeline_version_reference"):
        _get(state, "versions", reference["pipeline_version_id"])
    elif not given.get("pipeline_spec"):
        raise Refusal(400, "Invalid input error: neither a pipeline nor a version")
    steps = [json.loads(json.dumps(step)) for step in state.steps]
    return _add(state, "runs", "run_id", given | {"state": "PENDING", "steps": steps})


def _get_run(state: KfpServer, asked: Json, run_id: str) -> Json:
    run = _get(state, "runs", run_id)
    if run.get("steps"):
        step = run["steps"].pop(0)
        run["state"] = step["state"]
        run.setdefault("state_history", []).append({"state": step["state"]})
        run["run_details"] = {"task_details": _task_details(step.get("tasks", {}))}
    return {key: value for key, value in run.items() if key != "steps"}


def node_id(name: str) -> str:
    """Returns the id of the workflow's node that does a task's work: nothing in it says which task that is."""
    return f"run-x7k2p-{zlib.crc32(name.encode())}"


def _task_details(tasks: dict[str, str]) -> list[Json]:
    """Tasks as a real server was seen to list them, for each the node names of Argo.

    The workflow itself, drivers, executors and each attempt are among them; one has no name; a child's `pod_name` is a
    node's id; there is neither an error nor a parent.
    """
    details: list[Json] = [
        {"display_name": "run-x7k2p", "state": "RUNNING", "child_tasks": [{"pod_name": node_id("root-driver")}]},
        {"display_name": "root-driver", "state": "SUCCEEDED"},
        {"display_name": "root-driver(0)", "state": "SUCCEEDED"},
        {"display_name": "condition-branches-1", "state": "RUNNING"},
        {"state": "SUCCEEDED"},
    ]
    for place, (name, state) in enumerate(tasks.items()):
        begun = f"2026-11-22T10:00:{place:02d}Z"
        children = [{"pod_name": node_id(f"{name}/executor")}] if state != "PENDING" else []
        for driver in (f"{name}-driver", f"{name}-driver(0)"):
            details.append({"display_name": driver, "state": "SUCCEEDED", "start_time": begun})
        task = {"display_name": name, "state": state, "start_time": begun, "child_tasks": children}
        details.append(task | ({"end_time": "2026-11-22T10:01:00Z"} if state in ENDED else {}))
        attempts = [{"pod_name": node_id(name)}]
        details.append({"display_name": "executor", "state": state, "start_time": begun, "child_tasks": attempts})
        details.append({"display_name": "executor(0)", "state": state, "start_time": begun})
    return details


def _terminate(state: KfpServer, asked: Json, run_id: str) -> Json:
    """A run that is stopped ends as failed; only its history tells."""
    run = _get(state, "runs", run_id)
    run["state"] = "CANCELING"
    run.setdefault("state_history", []).append({"state": "CANCELING"})
    run["steps"] = [{"state": "CANCELING"}, {"state": "FAILED"}]
    return {}


def _archive(state: KfpServer, asked: Json, run_id: str) -> Json:
    """An archived run can be restored; it is no longer among those that are listed as available."""
    _get(state, "runs", run_id)["storage_state"] = "ARCHIVED"
    return {}


def _create_recurring_run(state: KfpServer, asked: Json) -> Json:
    given = asked["body"]
    if not given.get("display_name"):
        raise Refusal(400, "Invalid input error: Recurring run's name cannot be empty")
    if not 1 <= int(given.get("max_concurrency") or 0) <= 10:
        raise Refusal(400, "Invalid input error: Max concurrency of a recurring run must be at least 1 and at most 10")
    cron = (given["trigger"].get("cron_schedule") or {}).get("cron")
    if cron and len(cron.split()) not in (5, 6):
        raise Refusal(400, "Invalid input error: Schedule cron is not a supported format")
    reference = given.get("pipeline_version_reference") or {}
    if version := reference.get("pipeline_version_id"):
        _get(state, "versions", version)
    elif reference.get("pipeline_id"):
        _get(state, "pipelines", reference["pipeline_id"])
    elif not given.get("pipeline_spec"):
        raise Refusal(400, "Cannot create a job with an empty pipeline ID")
    _get(state, "experiments", given["experiment_id"])
    mode = given.get("mode", "DISABLE")
    stored = given | {"max_concurrency": str(given["max_concurrency"]), "mode": mode, "status": f"{mode}D"}
    stored.setdefault("service_account", "pipeline-runner")
    if periodic := stored["trigger"].get("periodic_schedule"):
        periodic["interval_second"] = str(periodic["interval_second"])
    return _add(state, "recurring_runs", "recurring_run_id", stored)


def _switch(mode: str) -> Callable[[KfpServer, Json, str], Json]:
    def switch(state: KfpServer, asked: Json, identity: str) -> Json:
        _get(state, "recurring_runs", identity).update(mode=mode, status=f"{mode}D")
        return {}

    return switch


def _delete_recurring_run(state: KfpServer, asked: Json, identity: str) -> Json:
    _get(state, "recurring_runs", identity)
    del state.recurring_runs[identity]
    if asked["query"].get("propagation_policy") != "ORPHAN":
        # Kubernetes collects what the deleted object owned: its runs.
        owned = [run for run in state.runs.values() if run.get("recurring_run_id") == identity]
        state.killed_runs += [run["run_id"] for run in owned if run["state"] not in ENDED]
    return {}


def _health(state: KfpServer, asked: Json) -> Json:
    return {"multi_user": state.is_multi_user, "pipeline_store": "database"}


def _listing(kind: str) -> Callable[..., Json]:
    def listing(state: KfpServer, asked: Json, pipeline_id: str = "") -> Json:
        items = [i for i in getattr(state, kind).values() if not pipeline_id or i["pipeline_id"] == pipeline_id]
        return _page(state, asked, FIELDS.get(kind, kind), items)

    return listing


FIELDS = {"versions": "pipeline_versions", "recurring_runs": "recurringRuns"}
"""What a list's items are called, where that differs; the camels are KFP's own."""

ROUTES: dict[tuple[str, str], Callable[..., Json]] = {
    ("GET", "healthz"): _health,
    ("GET", "pipelines"): _listing("pipelines"),
    ("POST", "pipelines"): _create_pipeline,
    ("POST", "pipelines/upload"): _upload_pipeline,
    ("POST", "pipelines/upload_version"): _upload_version,
    ("GET", "pipelines/([^/]+)"): lambda state, asked, i: _get(state, "pipelines", i),
    ("GET", "pipelines/([^/]+)/versions"): _listing("versions"),
    ("GET", "pipelines/[^/]+/versions/([^/]+)"): lambda state, asked, i: _get(state, "versions", i),
    ("GET", "experiments"): _listing("experiments"),
    ("POST", "experiments"): lambda state, asked: _add(state, "experiments", "experiment_id", asked["body"]),
    ("GET", "experiments/([^/]+)"): lambda state, asked, i: _get(state, "experiments", i),
    ("GET", "runs"): _listing("runs"),
    ("POST", "runs"): _create_run,
    ("GET", "runs/([^/:]+)"): _get_run,
    ("POST", "runs/([^/:]+):terminate"): _terminate,
    ("POST", "runs/([^/:]+):archive"): _archive,
    ("GET", "recurringruns"): _listing("recurring_runs"),
    ("POST", "recurringruns"): _create_recurring_run,
    ("GET", "recurringruns/([^/:]+)"): lambda state, asked, i: _get(state, "recurring_runs", i),
    ("POST", "recurringruns/([^/:]+):enable"): _switch("ENABLE"),
    ("POST", "recurringruns/([^/:]+):disable"): _switch("DISABLE"),
    ("DELETE", "recurringruns/([^/:]+)"): _delete_recurring_run,
}
