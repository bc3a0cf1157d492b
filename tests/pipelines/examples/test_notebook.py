"""The notebook does what it says, from the first cell to the last; a server on loopback stands for the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from mainspring.pipelines import environments
from tests.pipelines.cluster.kfp_server import KfpServer, running_server

NOTEBOOK = environments.PIPELINES / "examples" / "continuous_training.ipynb"
SECONDS = 240


@pytest.fixture(scope="module")
def server() -> Iterator[KfpServer]:
    with running_server() as state:
        state.steps = [{"state": "SUCCEEDED", "tasks": {"ingest-examples": "SUCCEEDED"}}]
        yield state


@pytest.fixture(scope="module")
def executed(server: KfpServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after its execution in a folder of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KF_PIPELINES_ENDPOINT", server.url)
        patch.setenv("MAINSPRING_ROOT", str(folder / "root"))
        NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def _outputs(notebook: Any, word: str) -> str:
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and word in cell.source]
    return "".join(str(out.get("text") or out.get("data")) for out in cell.outputs)


def test_the_run_here_trains_and_its_pages_are_shown_inline(executed: tuple[Any, Path]) -> None:
    notebook, _ = executed
    assert "train-model succeeded" in _outputs(notebook, "mainspring.run(")
    for task in ("validate-examples", "evaluate-model"):
        shown = _outputs(notebook, f'show("{task}")')
        assert "iframe" in shown
        assert "&lt;html" in shown
    assert "auc" in _outputs(notebook, '["metrics"]["metadata"]')


def test_the_pipeline_is_compiled_submitted_and_scheduled(executed: tuple[Any, Path], server: KfpServer) -> None:
    notebook, folder = executed
    assert (folder / "late_flights.yaml").is_file()
    [run], [schedule], [pipeline] = server.runs.values(), server.recurring_runs.values(), server.pipelines.values()
    assert pipeline["display_name"] == "late-flights"
    assert f"#/runs/details/{run['run_id']}" in _outputs(notebook, "cluster.submit(")
    assert schedule["trigger"] == {"cron_schedule": {"cron": "0 30 2 * * *"}}
    assert "late-flights-nightly create" in _outputs(notebook, "cluster.plan(")
    # Submitted from the function and scheduled from the file: the same content, so one version.
    assert len(server.versions) == 1


def test_the_notebook_is_checked_in_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
