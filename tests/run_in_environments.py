"""Runs the suites of tests side by side, each in its own environment, and shows how far they are.

    python tests/run_in_environments.py                       every suite, one more at once than there are cores
    python tests/run_in_environments.py training              one suite, as pytest shows it
    python tests/run_in_environments.py training -- -k seed   … with pytest's own arguments

A component's tests run in that component's environment, with the test tools appended to its path. Appended, not
installed: the environment stays what its lock says, and its own packages go before the tools'. The other suites run in
the authoring environment.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.pipelines import environments

TESTS = Path(__file__).parent
sys.path.append(str(TESTS))
from side_by_side import Suite, run_side_by_side  # noqa: E402

REQUIREMENTS = TESTS.parent / "requirements-test.txt"
RUN_PYTEST = "import sys; sys.path += sys.argv.pop(1).split(':'); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
AUTHORING = {
    "pipelines": ("tests/pipelines", "-n", "2", "--dist", "loadfile"),
    "packaging": ("tests/packaging", "tests/schemas", "tests/manifests", "tests/docs"),
}
"""The suites of the authoring environment: folders, and how pytest runs them."""
LONGEST_FIRST = ("pipelines", "deployment", "training", "validation", "evaluation", "kubeflow")
"""Suites that start first, so that none is left alone at the end."""


def main(arguments: list[str]) -> int:
    """Runs the suites and returns the exit status: 0 only if every test passed."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    names, extra = arguments[:split] or _all_suites(), arguments[split + 1 :]
    unknown = sorted(set(names) - set(_all_suites()))
    if unknown:
        raise UserError(f"no suite {', '.join(unknown)}; there are {', '.join(sorted(_all_suites()))}")
    folders = [name for name in names if name not in AUTHORING]
    environments.ensure([*folders, "serving"], lambda line: print(line, file=sys.stderr))
    suites = [_suite(name, extra) for name in names]
    if len(suites) == 1:
        print(f"--- {suites[0].name}, in its own environment", flush=True)
        return subprocess.run(suites[0].command, env=suites[0].variables, cwd=TESTS.parent, check=False).returncode
    return run_side_by_side(suites, at_once=len(os.sched_getaffinity(0)) + 1)


def _all_suites() -> list[str]:
    folders = [folder for folder in environments.FOLDERS if (TESTS / "components" / folder).is_dir()]
    names = [*folders, *AUTHORING]
    return sorted(names, key=lambda name: LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(names))


def _suite(name: str, extra: list[str]) -> Suite:
    if name in AUTHORING:
        return Suite(name, [sys.executable, "-c", RUN_PYTEST, str(TESTS), *AUTHORING[name], *extra], dict(os.environ))
    env = environments.environment(name)
    command = [str(env.python), "-c", RUN_PYTEST, f"{tools(env)}:{TESTS}", "-p", "no:cacheprovider"]
    command += [f"--rootdir={TESTS.parent}", f"--config-file={TESTS.parent / 'pyproject.toml'}"]
    return Suite(name, [*command, str(TESTS / "components" / name), *extra], environments.task_variables())


def tools(env: environments.Environment) -> Path:
    """Returns the folder of test tools for the environment's Python, installed if need be."""
    version = (env.path / "pyvenv.cfg").read_text(encoding="utf-8")
    digest = hashlib.sha256(f"{version}{REQUIREMENTS.read_text(encoding='utf-8')}".encode()).hexdigest()[:12]
    tools = environments.base_folder() / f"test-tools-{digest}"
    if not (tools / ".complete").is_file():
        install = [environments.uv(), "pip", "install", "--quiet", "--require-hashes", "--python", str(env.python)]
        subprocess.run([*install, "--target", str(tools), "--requirements", str(REQUIREMENTS)], check=True)
        (tools / ".complete").touch()
    return tools


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"tests: {error}")
