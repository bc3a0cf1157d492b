"""The components' environments on this machine: a virtual environment per image, built by uv from that image's lock.

What runs on a laptop is what runs in the cluster: same lock, same KFP runtime. An environment is built once, and
again only when its lock (or its Python) changes; its folder carries a mark that is written last, so a build that was
cut short starts over.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import mainspring
import mainspring.components as components_package
import mainspring.pipelines as pipelines_package
from mainspring.components.common.errors import UserError

ENVIRONMENTS_VARIABLE = "MAINSPRING_ENVIRONMENTS"
COMPONENTS = Path(components_package.__path__[0]).resolve()
PIPELINES = Path(pipelines_package.__path__[0]).resolve()
_PACKAGE = Path(str(mainspring.__file__)).resolve()
RUNTIME = COMPONENTS / "common" / "requirements.txt"
"""The KFP runtime, installed without its dependencies: a task's executor imports none of them."""

FOLDERS = ("ingestion", "validation", "training", "evaluation", "deployment", "monitoring", "serving", "kubeflow")
WITH_TFDV = ("validation", "monitoring")
"""Those whose lock comes twice: TFDV has one for older C libraries."""
NEW_GLIBC = (2, 39)
"""TFDV from 1.17 on has Linux wheels for this glibc and newer ones only."""

_COMPLETE = ".complete"


@dataclass(frozen=True)
class Environment:
    """One component folder's environment."""

    folder: str
    lock: Path
    pythons: str
    """The Python versions that the lock serves, as a version specifier."""
    needs_compiler: bool
    """Whether a locked package comes as C++ source only."""
    path: Path
    """Where it is or will be; the name holds a hash of the lock."""

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.path / "bin" / "python"

    @property
    def is_ready(self) -> bool:
        """Whether it was built to the end."""
        return (self.path / _COMPLETE).is_file()


def environment(folder: str, libc: tuple[str, str] | None = None) -> Environment:
    """Returns the environment of a component folder for this machine.

    Args:
        folder: One of `FOLDERS`.
        libc: The C library's name and version; None: this machine's.
    """
    lock, pythons = COMPONENTS / folder / "requirements.txt", ">=3.10,<3.14"
    if folder in WITH_TFDV and _is_older_glibc(libc or platform.libc_ver()):
        lock, pythons = COMPONENTS / folder / "requirements-tfdv-1.16.txt", ">=3.10,<3.12"
    digest = hashlib.sha256(lock.read_bytes() + RUNTIME.read_bytes()).hexdigest()[:12]
    return Environment(folder, lock, pythons, folder in WITH_TFDV, base_folder() / f"{folder}-{digest}")


def base_folder() -> Path:
    """Returns the folder that holds the environments.

    `$MAINSPRING_ENVIRONMENTS` if set; `.venvs/` in a checkout; the user's cache folder for an installed package.
    """
    if given := os.environ.get(ENVIRONMENTS_VARIABLE):
        return Path(given).absolute()
    if (COMPONENTS.parent / "pyproject.toml").is_file():
        return COMPONENTS.parent / ".venvs"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mainspring" / "environments"


def ensure(folders: Iterable[str], say: Callable[[str], None]) -> None:
    """Builds those of the folders' environments that are not there yet.

    Args:
        folders: Some of `FOLDERS`.
        say: Is told, line by line, what is being done.

    Raises:
        UserError: The machine lacks a Python or a compiler (said before anything is downloaded), or uv failed.
    """
    missing = [env for env in map(environment, dict.fromkeys(folders)) if not env.is_ready]
    interpreters = {env.folder: interpreter_for(env) for env in missing}
    for env in missing:
        if env.needs_compiler:
            _check_compiler(interpreters[env.folder])
    for number, env in enumerate(missing, 1):
        started = time.monotonic()
        say(f"environment {number} of {len(missing)}: {env.folder} (first time only; later runs find it ready)")
        _build(env, interpreters[env.folder])
        say(f"environment {number} of {len(missing)}: {env.folder} is ready after {time.monotonic() - started:.0f} s")


def import_root() -> Path:
    """Returns a folder for PYTHONPATH that gives a task `mainspring`, and nothing else of this interpreter."""
    digest = hashlib.sha256(f"{COMPONENTS}\0{PIPELINES}".encode()).hexdigest()[:12]
    package = base_folder() / f"import-{digest}" / "mainspring"
    package.mkdir(parents=True, exist_ok=True)
    for source in (COMPONENTS, PIPELINES, _PACKAGE):
        link = package / source.name
        if not link.is_symlink():
            link.symlink_to(source, target_is_directory=source.is_dir())
    return package.parent


def task_variables() -> dict[str, str]:
    """Returns the environment variables that a process of a component's environment needs."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    return variables | {
        "PYTHONPATH": str(import_root()),
        "PYTHONUNBUFFERED": "1",
        "MAINSPRING_SERVING_PYTHON": str(environment("serving").python),
        # Only warnings and errors: start-up notes of the native code would drown a task's own lines.
        "TF_CPP_MIN_LOG_LEVEL": variables.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }


def _is_older_glibc(libc: tuple[str, str]) -> bool:
    name, version = libc
    return name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < NEW_GLIBC


def interpreter_for(env: Environment) -> str:
    """Returns a Python of this machine's that serves an environment.

    Raises:
        UserError: There is none.
    """
    found = subprocess.run(
        [uv(), "python", "find", "--no-python-downloads", "--no-project", "--system", env.pythons],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise UserError(
            f"the {env.folder} environment needs Python {env.pythons}, which this machine lacks"
            f"{' (its glibc takes only TFDV 1.16.1)' if env.lock.name != 'requirements.txt' else ''}; "
            "install one (for example with `uv python install 3.11`), then run again"
        )
    return found.stdout.strip()


def _check_compiler(interpreter: str) -> None:
    if not (shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")):
        raise UserError(
            "TFDV needs a C++ compiler (pyfarmhash comes as source only); "
            "install one (Debian and Ubuntu: `apt-get install g++`), then run again"
        )
    header = subprocess.run(
        [interpreter, "-c", "import sysconfig; print(sysconfig.get_path('include') + '/Python.h')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if not Path(header).is_file():
        raise UserError(
            f"the validation environment needs Python's headers, and {header} is missing; "
            "install them (Debian and Ubuntu: `apt-get install python3-dev`), then run again"
        )


def _build(env: Environment, interpreter: str) -> None:
    shutil.rmtree(env.path, ignore_errors=True)
    env.path.parent.mkdir(parents=True, exist_ok=True)
    python = str(env.python)
    _uv("venv", "--quiet", "--no-project", "--python", interpreter, str(env.path), env=env)
    install = ("pip", "install", "--quiet", "--compile-bytecode", "--require-hashes", "--python", python)
    _uv(*install, "--requirements", str(env.lock), env=env)
    _uv(*install, "--no-deps", "--requirements", str(RUNTIME), env=env)
    (env.path / _COMPLETE).touch()


def _uv(*arguments: str, env: Environment) -> None:
    variables = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    }
    done = subprocess.run([uv(), *arguments], capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise UserError(f"the {env.folder} environment cannot be built: {' '.join(lines)[:600] or 'uv failed'}")


def uv() -> str:
    """Returns uv's path: the one beside this interpreter, else the one on PATH."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise UserError("uv is not installed; `pip install uv`, then run again")
    return found
