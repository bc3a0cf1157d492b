"""A second dataset that is not flights, by parameters alone: penguins, three classes, missing values, one CSV file."""

from __future__ import annotations

import importlib.util
import json
import urllib.request
from pathlib import Path

from ..docs.test_snippets import block_with
from .conftest import Mainspring, summary_of


def penguins() -> Path:
    """Returns the CSV file that the package palmerpenguins carries."""
    package = importlib.util.find_spec("palmerpenguins")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.rglob("penguins.csv"))


QUERY = "SELECT * EXCLUDE (sex), sex = 'male' AS male, make_date(year::INT, 6, 1) AS seen FROM source"
"""With truth values and dates, which a model takes as numbers, and a caller sends as they are written."""


def test_penguins_are_told_apart_by_parameters_alone(mainspring: Mainspring, root: Path) -> None:
    summary = root / "summary.json"
    done = mainspring(
        *("run", "continuous_training", "--root", root, "--summary", summary),
        *("-p", f"source={penguins()}", "-p", "label=species", "-p", "target=local://penguins", "-p", "exclude=year"),
        *("-p", f"query={QUERY}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = summary_of(summary)["tasks"]
    assert tasks["evaluate-model"]["outputs"]["metrics"]["metadata"]["sparse_categorical_accuracy"] > 0.95
    gentoo = {"bill_length_mm": 49.9, "bill_depth_mm": 16.1, "flipper_length_mm": 213, "body_mass_g": 5400}
    gentoo |= {"male": True, "seen": "2009-06-01"}
    request = urllib.request.Request(
        tasks["deploy-model"]["outputs"]["endpoint"],
        json.dumps({"instances": [gentoo | {"island": "Biscoe"}]}).encode(),
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        assert json.load(answer)["predictions"][0]["label"] == "Gentoo"


def test_a_module_of_a_few_lines_as_the_docs_show_it_is_trained_instead(
    mainspring: Mainspring, root: Path, tmp_path: Path
) -> None:
    module = tmp_path / "our_model.py"
    module.write_text(block_with("def build_model", "docs/how-to/your-own-model.md"), encoding="utf-8")
    summary = root / "summary-module.json"
    done = mainspring(
        *("run", "continuous_training", "--root", root, "--summary", summary),
        *("-p", f"source={penguins()}", "-p", "label=species", "-p", "target=local://ours", "-p", "exclude=year"),
        *("-p", f"module={module}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = summary_of(summary)["tasks"]["deploy-model"]["outputs"]
    manifest = json.loads((Path(outputs["version_uri"]) / "manifest.json").read_text())
    assert manifest["hyperparameters"]["module"] == str(module)
