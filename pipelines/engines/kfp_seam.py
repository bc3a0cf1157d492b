"""The one place that reaches into KFP's local orchestrator (2.17): which interpreter runs a task, and who watches.

KFP has no public plug-in point for these. The following of its internals are used, each looked up here and nowhere
else, and a test fails when a new KFP moves them:

- `task_executor.execute_single_task` runs one task of a pipeline, cache and retries included: we watch it;
- `SubprocessTaskHandler.run` runs a task's command in this interpreter: we run it in the interpreter of the task's
  image. `DockerTaskHandler.run` runs it in a container that may write anywhere, is left behind when KFP is ended, and
  counts as succeeded when it ends too soon to be asked: we run it in one of our own;
- `ConditionEvaluator._resolve_pipeline_channel` finds the value that a `dsl.If` asks about. KFP's own does not find a
  task's named output where there is no `dsl.Else`, takes that for false, and skips the branch: we look for it;
- `LocalCache.compute_key` knows a task's arguments by their text. A text that names a file, a module or a policy,
  stands for what is in it: we add that, or an edited file would be answered with the results of the old one;
- `placeholder_utils.replace_placeholders` fills in a task's command. KFP's own takes a parameter's text for one of its
  placeholders where it looks like one, and makes floats of the whole numbers in lists: ours leaves texts alone;
- `pipeline_orchestrator.run_local_pipeline` runs a compiled pipeline.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kfp import __version__ as kfp_version
from kfp import dsl, local
from kfp.local import graph_utils, pipeline_orchestrator, placeholder_utils, status, utils
from kfp.local.subprocess_task_handler import SubprocessTaskHandler
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from mainspring.components.common.errors import UserError
from mainspring.pipelines.compiling import never_cached
from mainspring.pipelines.engines.named_files import contents_of_files
from mainspring.pipelines.engines.placeholders import Placeholders

try:
    from kfp.local.cache import LocalCache
    from kfp.local.orchestrator import task_executor
    from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator
except ImportError as missing:
    raise UserError(
        f"kfp {kfp_version} runs no conditions on this machine; install kfp 2.17 or a newer 2.x to run pipelines here "
        "(compiling them and running them on a cluster needs 2.15)"
    ) from missing

_LAUNCHER_LENGTH = 4
"""`sh -ec SCRIPT SOURCE`, then the executor's arguments: the command of a lightweight Python component."""


@dataclass(frozen=True)
class Step:
    """A task of the pipeline, in the order in which KFP will come to it."""

    name: str
    title: str
    """The display name."""
    component: str
    image: str
    source: str
    """The component's Python source; empty for an importer."""
    cacheable: bool


@dataclass(frozen=True)
class Command:
    """What a task runs; `source` and `arguments` are a lightweight Python component's."""

    image: str
    source: str
    arguments: list[str]
    variables: dict[str, str]
    line: list[str]
    """All of it, as a container runs it."""


class Watcher(Protocol):
    """Is told when a task starts and how it ended."""

    def started(self, step: str) -> None:
        """Called before a task's cache is asked."""

    def ended(self, step: str, succeeded: bool, outputs: dict[str, Any]) -> None:
        """Called with the task's outputs: parameters as values, artifacts as KFP's objects."""

    def trouble(self) -> str:
        """Called for an exit task: what went wrong before it, or was refused; empty if nothing was."""


def steps(spec: PipelineSpec) -> list[Step]:
    """Returns all tasks of a pipeline, those of its branches and nested pipelines too."""
    executors = {
        name: utils.struct_to_executor_spec(executor) for name, executor in spec.deployment_spec["executors"].items()
    }
    found: list[Step] = []

    def walk(dag: Any) -> None:
        order = graph_utils.topological_sort_tasks(dict(dag.tasks.items()))
        while order:
            name = order.pop()
            task = dag.tasks[name]
            component = spec.components[task.component_ref.name]
            if component.WhichOneof("implementation") == "dag":
                walk(component.dag)
                continue
            container = executors[component.executor_label].container
            source = container.command[_LAUNCHER_LENGTH - 1] if len(container.command) >= _LAUNCHER_LENGTH else ""
            title, cacheable = task.task_info.name or name, task.caching_options.enable_cache
            found.append(Step(name, title, task.component_ref.name, container.image, source, cacheable))

    walk(spec.root.dag)
    return found


def run_pipeline(
    spec: PipelineSpec,
    arguments: dict[str, Any],
    runner: local.SubprocessRunner | local.DockerRunner,
    pipeline_root: str,
    cache_root: str | None,
    run_command: Callable[[str, Command], bool | None],
    watcher: Watcher,
    run_name: str = "",
) -> bool:
    """Runs a compiled pipeline with KFP's local orchestrator.

    Args:
        spec: The pipeline.
        arguments: Its parameters.
        runner: Whether KFP takes the tasks for processes or for containers.
        pipeline_root: Folder for the tasks' outputs.
        cache_root: Folder of the cache; None: no caching.
        run_command: Runs a task's command, given the task's name, and returns whether it succeeded; None leaves it to
            KFP, which with a `SubprocessRunner` runs it in this interpreter, or in a fresh environment if it installs
            packages.
        watcher: Is told about every task.
        run_name: Tells this run from others, for exit tasks; empty: KFP's own name.

    Returns:
        Whether the run succeeded.
    """
    local.init(
        runner,
        pipeline_root=pipeline_root,
        enable_caching=cache_root is not None,
        cache_root=cache_root,
    )
    failures: list[str] = []
    never_cached.switch_off(spec)
    with _patched(_handler_of(runner), run_command, watcher, failures, run_name), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Display names and node-pool settings have no effect here, and that is meant.
        try:
            pipeline_orchestrator.run_local_pipeline(pipeline_spec=spec, arguments=arguments)
        except RuntimeError:
            if not failures:
                raise
            return False
    return True


def _handler_of(runner: local.SubprocessRunner | local.DockerRunner) -> Any:
    if isinstance(runner, local.SubprocessRunner):
        return SubprocessTaskHandler
    from kfp.local.docker_task_handler import DockerTaskHandler  # Its module imports the package `docker`.

    return DockerTaskHandler


@contextlib.contextmanager
def _patched(
    handler_type: Any,
    run_command: Callable[[str, Command], bool | None],
    watcher: Watcher,
    failures: list[str],
    run_name: str,
) -> Iterator[None]:
    current = threading.local()
    replace_placeholders = placeholder_utils.replace_placeholders
    placeholders = Placeholders(replace_placeholders, run_name)
    execute, run, check_image, resolve, compute_key = (
        task_executor.execute_single_task,
        handler_type.run,
        SubprocessTaskHandler.validate_image,
        ConditionEvaluator._resolve_pipeline_channel,
        LocalCache.compute_key,
    )

    def watched_execute(task_name: str, **keywords: Any) -> tuple[dict[str, Any], status.Status]:
        current.task = task_name
        given = keywords["task_spec"].inputs.parameters
        current.constants = {name for name, value in given.items() if value.HasField("runtime_value")}
        current.statuses = {name for name, value in given.items() if value.HasField("task_final_status")}
        watcher.started(task_name)
        outputs: dict[str, Any] = {}
        succeeded = False
        try:
            outputs, ended = execute(task_name=task_name, **keywords)
            succeeded = ended == status.Status.SUCCESS
            _give_files_to_artifacts_without(outputs)
        finally:
            if not succeeded:
                failures.append(task_name)
            watcher.ended(task_name, succeeded, outputs)
        return outputs, ended

    def run_elsewhere(handler: Any) -> status.Status:
        line = list(handler.full_command)
        command = Command(
            image=handler.image,
            source="".join(line[_LAUNCHER_LENGTH - 1 : _LAUNCHER_LENGTH]),
            arguments=line[_LAUNCHER_LENGTH:],
            variables=dict(handler.env_vars),
            line=line,
        )
        succeeded = run_command(current.task, command)
        if succeeded is None:
            handler.runner = local.SubprocessRunner(use_venv="pip install" in " ".join(handler.full_command[:3]))
            return run(handler)
        return status.Status.SUCCESS if succeeded else status.Status.FAILURE

    def resolve_outputs_too(channel_ref: str, io_store: Any) -> Any:
        parts = channel_ref.removeprefix("pipelinechannel--").split("-")
        for place in range(len(parts) - 1, 0, -1):
            with contextlib.suppress(ValueError, KeyError):
                return io_store.get_task_output("-".join(parts[:place]), "-".join(parts[place:]))
        return resolve(channel_ref, io_store)

    def key_with_files(cache: LocalCache, *positional: Any, **keywords: Any) -> str:
        key = compute_key(cache, *positional, **keywords)
        files = contents_of_files(keywords["arguments"], Path.cwd())
        return hashlib.sha256(f"{key} {files}".encode()).hexdigest() if files else key

    def replaced(executor_input_dict: dict[str, Any], **given: Any) -> list[str]:
        for name in current.statuses:
            _tell_the_end(executor_input_dict["inputs"]["parameterValues"][name], watcher.trouble(), run_name)
        return placeholders.replaced(current.constants, executor_input_dict, **given)

    placeholder_utils.replace_placeholders = replaced
    LocalCache.compute_key = key_with_files
    ConditionEvaluator._resolve_pipeline_channel = staticmethod(resolve_outputs_too)
    task_executor.execute_single_task = watched_execute
    handler_type.run = run_elsewhere
    SubprocessTaskHandler.validate_image = lambda handler, image: None
    try:
        yield
    finally:
        placeholder_utils.replace_placeholders = replace_placeholders
        LocalCache.compute_key = compute_key
        ConditionEvaluator._resolve_pipeline_channel = staticmethod(resolve)
        task_executor.execute_single_task = execute
        handler_type.run = run
        SubprocessTaskHandler.validate_image = check_image


def _tell_the_end(status_of_tasks: dict[str, Any], trouble: str, run_name: str) -> None:
    """Adds to what KFP tells an exit task which run this is and why it ended so: KFP says only which group failed."""
    if run_name:
        status_of_tasks["pipeline_job_resource_name"] = run_name
    if trouble:
        status_of_tasks["error"] = {"code": 1, "message": trouble}


def _give_files_to_artifacts_without(outputs: dict[str, Any]) -> None:
    """KFP's cache takes an artifact without a file for one that was lost, and metrics live in metadata alone."""
    for artifact in outputs.values():
        if isinstance(artifact, dsl.Artifact) and "://" not in artifact.uri:
            with contextlib.suppress(OSError):
                Path(artifact.uri).touch(exist_ok=True)
