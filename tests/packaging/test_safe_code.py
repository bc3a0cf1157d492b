"""Nothing that was downloaded is executed but the user's own trainer module: no pickle, no exec, no shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("components", "pipelines") for path in (REPOSITORY / folder).rglob("*.py"))

MODULES = frozenset(("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "code", "runpy"))
CALLS = frozenset(("exec", "eval", "compile", "__import__"))
METHODS = frozenset(("os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load"))
TRAINER = "components/training/model/team_module.py"
"""Where what a user names is run as code, on purpose, and in one place: their own trainer module."""

IMPORTS = "components/common/deferred_imports.py"
"""Where installed packages, which the lock names, are imported later than usual; nothing that a user names."""


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Yields what in a module can run data as code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CALLS or called in METHODS:
                yield called
            elif called.endswith(".exec_module"):
                yield "exec_module"
            for keyword in node.keywords:
                if keyword.arg in ("shell", "allow_pickle") and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    yield f"{keyword.arg}={ast.unparse(keyword.value)}"


def test_no_module_runs_data_as_code_but_the_one_for_the_users_own() -> None:
    found = [
        (path.relative_to(REPOSITORY).as_posix(), what)
        for path in SOURCES
        for what in unsafe(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert len(SOURCES) > 100
    assert sorted(found) == [(IMPORTS, "exec_module"), (TRAINER, "exec_module")]


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from dill import loads",
        "exec(text)",
        "yaml.load(text)",
        "subprocess.run(line, shell=True)",
        "numpy.load(path, allow_pickle=True)",
        "spec.loader.exec_module(module)",
    ],
)
def test_what_it_looks_for_is_found(code: str) -> None:
    assert len(list(unsafe(ast.parse(code)))) == 1


@pytest.mark.parametrize("code", ["re.compile(text)", "yaml.safe_load(text)", "subprocess.run(['ls'], shell=False)"])
def test_what_is_safe_is_not(code: str) -> None:
    assert list(unsafe(ast.parse(code))) == []
