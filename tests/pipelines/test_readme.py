"""The README's code works as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mainspring.pipelines.compiling import catalogue
from tests.pipelines.cluster.kfp_server import running_server

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)


def block_with(word: str) -> str:
    """Returns the README's one Python block that holds the word."""
    [block] = [block for block in PYTHON_BLOCKS if word in block]
    return block


def test_the_notebook_code_compiles_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block_with("Compiler()"), "README.md", "exec"), {})
    assert (
        catalogue.load_pipeline("continuous_training.yaml").components
        == catalogue.load_pipeline("continuous_training").components
    )


def test_the_submitting_code_starts_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server() as server:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
        exec(compile(block_with("connect("), "README.md", "exec"), {})
        assert [run["runtime_config"]["parameters"]["label"] for run in server.runs.values()] == ["late"]


def test_components_compose_into_a_pipeline_of_the_readers_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    (tmp_path / "ours.py").write_text(block_with("def ours"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = catalogue.load_pipeline("ours:ours")
    assert set(spec.root.dag.tasks) == {"ingest-examples", "validate-examples", "train-model"}


def test_every_make_target_and_command_of_the_readme_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:\$ |`)make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    from mainspring.pipelines.cli import cli

    for command in set(re.findall(r"\$ \.venv/bin/mainspring ([a-z]+)", README)):
        assert command in cli.commands, command


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (REPOSITORY / link).exists(), link
