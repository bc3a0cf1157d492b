"""Models trained once for many tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import Recorder, Trained, binary_rows, write_examples

from mainspring.components.training.train_model import train_model


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trained]:
    """Returns a function that trains on an examples artifact and reads back what was published."""

    def run(examples: Path, **parameters: Any) -> Trained:
        out = tmp_path_factory.mktemp("out")
        recorder = Recorder()
        folder, page = out / "model", out / "report" / "report.html"
        fingerprint = train_model(
            **{
                "examples": str(examples),
                "schema": str(examples),
                "model": str(folder),
                "metrics": recorder,
                "report": str(page),
                **parameters,
            }
        )
        manifest = json.loads((folder / "manifest.json").read_text())
        return Trained(folder, fingerprint, recorder.figures, page.read_text(), manifest, examples)

    return run


@pytest.fixture(scope="session")
def binary_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("binary") / "examples"
    return write_examples(folder, binary_rows(1200, 1), binary_rows(400, 2))


@pytest.fixture(scope="session")
def binary(train: Callable[..., Trained], binary_examples: Path) -> Trained:
    return train(binary_examples, label="good", max_epochs=8)
