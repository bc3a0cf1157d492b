"""Runs each component's tests in that component's own environment, with the test tools appended to its path.

Appended, not installed: the environment stays what its lock says, and its own packages go before the tools'. Give
component folders as arguments to run only those, and pytest's own arguments after `--`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.pipelines import environments

TESTS = Path(__file__).parent
REQUIREMENTS = TESTS.parent / "requirements-test.txt"
RUN_PYTEST = "import sys; sys.path += sys.argv.pop(1).split(':'); import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def main(arguments: list[str]) -> int:
    """Runs the tests and returns the exit status: 0 only if every folder's tests passed."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    folders = arguments[:split] or [
        folder for folder in environments.FOLDERS if (TESTS / "components" / folder).is_dir()
    ]
    environments.ensure([*folders, "serving"], lambda line: print(line, file=sys.stderr))
    failed = [folder for folder in folders if not _passes(folder, arguments[split + 1 :])]
    if failed:
        print(f"failed in the environments of: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _passes(folder: str, arguments: list[str]) -> bool:
    env = environments.environment(folder)
    print(f"--- {folder}, in its own environment", flush=True)
    command = [
        str(env.python),
        "-c",
        RUN_PYTEST,
        f"{_tools(env)}:{TESTS}",
        "-p",
        "no:cacheprovider",
        f"--rootdir={TESTS.parent}",
        f"--config-file={TESTS.parent / 'pyproject.toml'}",
        str(TESTS / "components" / folder),
        *arguments,
    ]
    return subprocess.run(command, env=environments.task_variables(), cwd=TESTS.parent, check=False).returncode == 0


def _tools(env: environments.Environment) -> Path:
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
