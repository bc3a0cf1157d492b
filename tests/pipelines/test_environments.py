"""Each machine gets the lock it can use, and what it lacks is said in one line before anything is downloaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.components.common.errors import UserError
from mainspring.pipelines import environments


@pytest.mark.parametrize(
    ("libc", "lock"),
    [
        (("glibc", "2.36"), "requirements-tfdv-1.16.txt"),
        (("glibc", "2.38"), "requirements-tfdv-1.16.txt"),
        (("glibc", "2.39"), "requirements.txt"),
        (("glibc", "2.41"), "requirements.txt"),
        (("", ""), "requirements.txt"),
    ],
)
def test_validation_takes_the_newest_tfdv_that_the_c_library_allows(libc: tuple[str, str], lock: str) -> None:
    assert environments.environment("validation", libc).lock.name == lock


def test_an_environment_moves_when_its_lock_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = environments.environment("ingestion").path
    for folder in ("ingestion", "common"):
        (tmp_path / folder).mkdir()
        lock = (environments.COMPONENTS / folder / "requirements.txt").read_text()
        (tmp_path / folder / "requirements.txt").write_text(lock + ("# changed\n" if folder == "ingestion" else ""))
    monkeypatch.setattr(environments, "COMPONENTS", tmp_path)
    monkeypatch.setattr(environments, "RUNTIME", tmp_path / "common" / "requirements.txt")
    assert environments.environment("ingestion").path.name != before.name


def _path_with(tmp_path: Path, *programs: str) -> str:
    for program in programs:
        (tmp_path / Path(program).name).symlink_to(program)
    return str(tmp_path)


def test_a_missing_compiler_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(environments.ENVIRONMENTS_VARIABLE, str(tmp_path / "environments"))
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", _path_with(tools, os.path.realpath(sys.executable)))
    monkeypatch.setattr(environments, "interpreter_for", lambda env: sys.executable)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler"):
        environments.ensure(["ingestion", "validation"], print)
    assert not (tmp_path / "environments").exists()


def test_a_missing_python_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(environments.ENVIRONMENTS_VARIABLE, str(tmp_path / "environments"))
    monkeypatch.setattr(environments, "environment", lambda folder: _impossible(folder, tmp_path))
    with pytest.raises(UserError, match=r"needs Python ==2\.7\.1, which this machine lacks"):
        environments.ensure(["training"], print)
    assert not (tmp_path / "environments").exists()


def _impossible(folder: str, tmp_path: Path) -> environments.Environment:
    lock = environments.COMPONENTS / folder / "requirements.txt"
    return environments.Environment(folder, lock, "==2.7.1", False, tmp_path / "environments" / folder)


def test_a_build_that_was_cut_short_starts_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(environments.ENVIRONMENTS_VARIABLE, str(tmp_path))
    cut_short = environments.environment("deployment")
    (cut_short.path / "bin").mkdir(parents=True)
    (cut_short.path / "bin" / "python").write_text("not an interpreter")
    environments.ensure(["deployment"], print)
    assert cut_short.is_ready
    subprocess.run([str(cut_short.python), "-c", "import kfp.dsl"], env={"_KFP_RUNTIME": "true"}, check=True)


def test_a_task_imports_mainspring_and_nothing_else_of_the_authoring_environment() -> None:
    python = environments.environment("deployment").python
    code = "import mainspring.components.deployment.refuse_run; import rich"
    done = subprocess.run(
        [str(python), "-c", code], env=environments.task_variables(), capture_output=True, text=True, check=False
    )
    assert "No module named 'rich'" in done.stderr
