"""`mainspring.run`: a pipeline on this machine, from Python, as `mainspring run` does it from a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mainspring.pipelines.engines.results import RunResult


def run(pipeline: Any, arguments: dict[str, Any] | None = None, *, root: str = "", caching: bool = True) -> RunResult:
    """Runs a pipeline here, each task in the environment of its image, and shows how it goes.

    While another run deploys to the same target, it waits for that to end.

    Args:
        pipeline: What `@dsl.pipeline` returned, or a built-in name, `module:function`, or a compiled YAML file.
        arguments: Values of its parameters.
        root: Folder of runs, models and endpoints; empty: `$MAINSPRING_ROOT`, else `.mainspring`.
        caching: False: every task runs, even if nothing has changed.

    Returns:
        How it went, task by task; `is_success` says whether it went well.

    Raises:
        UserError: The pipeline or an argument is wrong, or an environment cannot be built.
    """
    from rich.console import Console

    from mainspring.components.common import storage
    from mainspring.components.common.errors import UserError
    from mainspring.pipelines import environments
    from mainspring.pipelines.compiling import catalogue
    from mainspring.pipelines.engines import process
    from mainspring.pipelines.engines.one_at_a_time import alone_at_target
    from mainspring.pipelines.engines.progress import PlainProgress
    from mainspring.pipelines.parameters import typed_arguments

    component = catalogue.load(pipeline) if isinstance(pipeline, str) else pipeline
    if not hasattr(component, "pipeline_spec"):
        raise UserError(f"pipeline: {component!r} is none; give what @dsl.pipeline returned, a name or a file")
    spec = catalogue.fitting(component, arguments or {}).pipeline_spec
    typed = typed_arguments(spec, arguments or {})
    environments.ensure(process.folders(spec), print)
    folder = Path(root).absolute() if root else storage.local_root()
    with alone_at_target(spec, typed, folder, print):
        return process.run_here(spec, typed, folder, PlainProgress(Console()), caching)
