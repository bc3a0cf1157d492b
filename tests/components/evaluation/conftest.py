import functools
import itertools
import json
from types import SimpleNamespace

import pytest
import toys

from mainspring.components.evaluation.evaluate_model import evaluate_model


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Models by the column they predict from."""
    root = tmp_path_factory.mktemp("models")
    return {
        name: toys.write_model(root / name, [name], fingerprint=f"sha256:{name}") for name in ("good", "fair", "bad")
    }


@pytest.fixture
def evaluate(tmp_path):
    """Evaluates and returns the verdict, `evaluation.json`, what was logged, and the folders."""
    count = itertools.count()

    def run(examples, model, champion="", policy="", **more):
        number = next(count)
        metrics, folder = toys.Recorder(), tmp_path / f"evaluation-{number}"
        folder.mkdir()  # KFP makes it.
        report = tmp_path / f"report-{number}"
        blessed, reasons = evaluate_model(
            examples=str(examples),
            model=str(model),
            evaluation=str(folder),
            metrics=metrics,
            report=str(report),
            champion_uri=str(champion),
            policy=policy,
            **more,
        )
        content = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        assert content["blessed"] is blessed
        assert "\n".join(content["reasons"]) == reasons
        return SimpleNamespace(
            blessed=blessed, reasons=reasons, content=content, logged=metrics.logged, folder=folder, report=report
        )

    return run


@pytest.fixture
def rebaseline(evaluate):
    """Evaluates, leaving out a champion that cannot be measured."""
    return functools.partial(evaluate, on_broken_champion="rebaseline")
