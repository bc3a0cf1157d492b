"""The pages' code works as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mainspring.pipelines.compiling import catalogue
from tests.pipelines.cluster.kfp_server import running_server

REPOSITORY = Path(__file__).parents[2]


def block_with(word: str, page: str = "README.md") -> str:
    """Returns the page's one Python block that holds the word."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    [block] = [block for block in re.findall(r"```python\n(.*?)```", text, flags=re.S) if word in block]
    return block


def test_the_readmes_submitting_code_starts_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server() as server:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
        exec(compile(block_with("connect("), "README.md", "exec"), {})
        assert [run["runtime_config"]["parameters"]["label"] for run in server.runs.values()] == ["late"]


@pytest.mark.parametrize(
    ("page", "pipeline", "tasks"),
    [
        ("docs/how-to/one-component.md", "ours", {"ingest-examples", "validate-examples", "train-model"}),
        ("docs/how-to/score-a-table.md", "score", {"importer", "predict-batch"}),
        (
            "components/training/README.md",
            "tuned",
            {"ingest-examples", "validate-examples", "tune-model", "train-model"},
        ),
    ],
)
def test_pipelines_of_the_pages_compile(
    page: str, pipeline: str, tasks: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    module = re.sub(r"\W", "_", page)
    (tmp_path / f"{module}.py").write_text(block_with(f"def {pipeline}", page), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(catalogue.load_pipeline(f"{module}:{pipeline}").root.dag.tasks) == tasks


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:\$ |`)make ([a-z-]+)", (REPOSITORY / "README.md").read_text(encoding="utf-8"))):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
