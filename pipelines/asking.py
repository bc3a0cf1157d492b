"""Questions to a component's own tools, which need its environment: JSON in, JSON out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.pipelines import environments


def ask(folder: str, tool: str, question: str, given: Mapping[str, Any], say: Callable[[str], None] = print) -> Any:
    """Returns a tool's answer.

    Args:
        folder: The component folder in whose environment it runs; it is built if it is not there.
        tool: The module.
        question: Its first argument.
        given: What it reads on standard input.
        say: Is told what is built.

    Raises:
        UserError: The tool says that something is wrong.
    """
    environments.ensure([folder], say)
    done = subprocess.run(
        [str(environments.environment(folder).python), "-m", tool, question],
        env=environments.task_variables() | {"PYTHONWARNINGS": "ignore"},
        input=json.dumps(dict(given)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith(ERROR_PREFIX)]
        if told:
            raise UserError(told[-1].removeprefix(ERROR_PREFIX))
        raise RuntimeError(f"{tool} {question} failed:\n{done.stderr}")
    return json.loads(done.stdout)
