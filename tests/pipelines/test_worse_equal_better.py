"""A deliberately poor model, a better one, an equal one and the poor one again, each through the whole pipeline."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from .conftest import Mainspring, summary_of
from .test_other_data import penguins

ISLAND_ALONE = """
import keras

def build_model(context):
    # Where a penguin lives tells less than what it looks like.
    island = context.id_columns.index("island")
    x = keras.layers.Embedding(context.id_counts[island], 4)(context.inputs["ids"][:, island])
    return keras.Model(context.inputs, context.output(x))
"""
EVERYTHING = """
import keras

def build_model(context):
    x = keras.layers.Dense({width}, activation="relu")(context.embedded())
    return keras.Model(context.inputs, context.output(x))
"""


class Runs:
    """Runs the pipeline with one model module after another, against one endpoint."""

    def __init__(self, mainspring: Mainspring, root: Path, folder: Path) -> None:
        self.mainspring, self.root, self.folder = mainspring, root, folder

    def run(self, module: str, *more: str) -> dict[str, Any]:
        # A step is cached by its parameters: another model is another file.
        path = self.folder / f"model_{zlib.crc32(module.encode())}.py"
        path.write_text(module, encoding="utf-8")
        summary = self.root / "summary.json"
        summary.unlink(missing_ok=True)
        self.done = self.mainspring(
            *("run", "continuous_training", "--root", self.root, "--summary", summary),
            *("-p", f"source={penguins()}", "-p", "label=species", "-p", "target=local://rungs", "-p", "exclude=year"),
            *("-p", f"module={path}", "-p", "eval_fraction=0.4", *more),
        )
        return summary_of(summary) if summary.is_file() else {}

    def version(self) -> int:
        listed = json.loads(self.mainspring("endpoints", "list", "--json", "--root", self.root).stdout)
        return int(listed[0]["version"])


@pytest.fixture(scope="module")
def runs(mainspring: Mainspring, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(mainspring, root, tmp_path_factory.mktemp("modules"))


def evaluation_of(summary: dict[str, Any]) -> dict[str, Any]:
    folder = Path(summary["tasks"]["evaluate-model"]["outputs"]["evaluation"]["uri"])
    content: dict[str, Any] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return content


def test_a_better_model_replaces_an_equal_one_too_and_a_worse_one_is_refused(runs: Runs) -> None:
    poor = runs.run(ISLAND_ALONE)
    assert runs.done.returncode == 0, runs.done.stdout + runs.done.stderr
    assert poor["tasks"]["deploy-model"]["outputs"]["version"] == 1

    better = runs.run(EVERYTHING.format(width=32))
    assert runs.done.returncode == 0, runs.done.stdout + runs.done.stderr
    measured = evaluation_of(better)["metrics"]
    accuracy = "sparse_categorical_accuracy"
    assert measured["challenger"][accuracy] > measured["champion"][accuracy] + 0.1
    assert runs.version() == 2

    equal = runs.run(EVERYTHING.format(width=40))
    judged = evaluation_of(equal)
    assert judged["blessed"], judged["reasons"]
    assert runs.version() == 3
    # The report holds the way from version to version.
    assert [version["version"] for version in judged["versions_before"]] == [1, 2]

    worse = runs.run(ISLAND_ALONE)
    assert (runs.done.returncode, worse["status"]) == (1, "refused")
    assert "beyond noise" in worse["error"]
    assert runs.version() == 3

    # Against a broken champion nothing is blessed, unless the run says to begin anew; and that stays on record.
    served = runs.root / "models" / "rungs" / "3" / "model" / "3"
    (served / "saved_model.pb").chmod(0o644)
    (served / "saved_model.pb").write_bytes(b"not a graph")
    refused = runs.run(EVERYTHING.format(width=48))
    assert refused["status"] == "refused"
    assert "the champion cannot be measured" in refused["error"]
    runs.run(EVERYTHING.format(width=48), "-p", "on_broken_champion=rebaseline")
    assert runs.done.returncode == 0, runs.done.stdout + runs.done.stderr
    manifest = json.loads((runs.root / "models" / "rungs" / "4" / "version.json").read_text(encoding="utf-8"))
    assert "cannot be loaded as a SavedModel" in manifest["rebaselined"]
