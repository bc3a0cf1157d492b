"""A second dataset that is not flights, by parameters alone: penguins, three classes, missing values, one CSV file."""

from __future__ import annotations

import importlib.util
import json
import urllib.request
from pathlib import Path

from .conftest import Mainspring, summary_of


def test_penguins_are_told_apart_by_parameters_alone(mainspring: Mainspring, root: Path) -> None:
    package = importlib.util.find_spec("palmerpenguins")
    assert package is not None
    assert package.origin is not None
    source = next(Path(package.origin).parent.rglob("penguins.csv"))
    summary = root / "summary.json"
    done = mainspring(
        *("run", "continuous_training", "--root", root, "--summary", summary),
        *("-p", f"source={source}", "-p", "label=species", "-p", "target=local://penguins", "-p", "exclude=year"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = summary_of(summary)["tasks"]
    assert tasks["evaluate-model"]["outputs"]["metrics"]["metadata"]["sparse_categorical_accuracy"] > 0.95
    gentoo = {"bill_length_mm": 49.9, "bill_depth_mm": 16.1, "flipper_length_mm": 213, "body_mass_g": 5400, "sex": None}
    request = urllib.request.Request(
        tasks["deploy-model"]["outputs"]["endpoint"],
        json.dumps({"instances": [gentoo | {"island": "Biscoe"}]}).encode(),
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["predictions"][0]["label"] == "Gentoo"
