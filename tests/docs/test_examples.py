"""The projects under examples/: their files compile in each environment, and their data are what the script writes."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import duckdb
import pytest

from mainspring.pipelines.project import changes, project_file

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECTS = sorted(EXAMPLES.glob("*/mainspring.yaml"))


def test_there_are_four_projects() -> None:
    assert [path.parent.name for path in PROJECTS] == ["churn", "flights", "own-trainer", "prices"]


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_each_project_compiles_in_each_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    project = project_file.read(path)
    for environment in project.environments.values():
        for made in changes.compiled_pipelines(project, environment).values():
            assert {"source", "label", "target"} <= made.values.keys()


def test_the_data_are_what_the_script_writes(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / "make_data.py"))["write"](tmp_path)
    for name in ("churn-1.csv", "churn-2.csv"):
        assert (tmp_path / "churn" / name).read_bytes() == (EXAMPLES / "churn" / name).read_bytes()
    ours, theirs = (
        duckdb.read_parquet(str(folder / "prices" / "houses.parquet")).fetchall() for folder in (tmp_path, EXAMPLES)
    )
    assert ours == theirs


def test_the_model_of_your_own_has_its_function() -> None:
    tree = ast.parse((EXAMPLES / "own-trainer" / "model.py").read_text(encoding="utf-8"))
    assert any(isinstance(node, ast.FunctionDef) and node.name == "build_model" for node in tree.body)
