"""The pipeline of a few lines in training's README: what tuning finds is what training takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.pipelines.conftest import Mainspring, summary_of
from tests.pipelines.test_other_data import penguins

README = Path(__file__).parents[3] / "components" / "training" / "README.md"


def test_the_readmes_pipeline_tunes_and_trains_with_the_best(
    mainspring: Mainspring, root: Path, tmp_path: Path
) -> None:
    [code] = re.findall(r"```python\n(from kfp import dsl.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "our_pipeline.py").write_text(code, encoding="utf-8")
    summary = root / "tuned.json"
    done = mainspring(
        *("run", "our_pipeline:tuned", "--root", root, "--summary", summary),
        *("-p", f"source={penguins()}", "-p", "label=species", "-p", "trials=2"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = summary_of(summary)["tasks"]
    found = json.loads(tasks["tune-model"]["outputs"]["hyperparameters"])
    assert set(found) == {"learning_rate", "dropout", "embedding_size", "hidden_units"}
    manifest = json.loads((Path(tasks["train-model"]["outputs"]["model"]["uri"]) / "manifest.json").read_text())
    assert {name: manifest["hyperparameters"][name] for name in found} == found
    trials = json.loads(Path(tasks["tune-model"]["outputs"]["trials"]["uri"]).read_text())
    assert [trial["state"] for trial in trials].count("complete") >= 1
    assert tasks["tune-model"]["outputs"]["metrics"]["metadata"]["trials"] == 2
