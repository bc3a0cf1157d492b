"""The candidate is what is served, and was judged before the same way: that evaluation stands, nothing is computed."""

import json
import shutil
import subprocess
import sys

import pytest
import toys

SCRIPT = """
import json, sys
from mainspring.components.evaluation.evaluate_model import evaluate_model

class Metrics:
    def log_metric(self, name, value):
        logged[name] = value

logged = {}
blessed, reasons = evaluate_model(metrics=Metrics(), **json.loads(sys.argv[1]))
heavy = [name for name in ("tensorflow", "tensorflow_model_analysis", "pyarrow", "numpy") if name in sys.modules]
print(json.dumps({"blessed": blessed, "reasons": reasons, "heavy": heavy, "logged": logged}))
"""


@pytest.fixture
def served(tmp_path, models, evaluate):
    """Examples, and a published version with its evaluation on them."""
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns())
    first = evaluate(examples, models["good"], policy="slices: [carrier]")
    version = tmp_path / "models" / "flights" / "1"
    shutil.copytree(models["good"], version)
    shutil.copytree(first.folder, version / "evaluation")
    return examples, version, first


def run(tmp_path, **arguments):
    arguments = {name: str(value) for name, value in arguments.items()}
    out = {"evaluation": str(tmp_path / "out" / "evaluation"), "report": str(tmp_path / "out" / "report")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments | out)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_copied_over_without_importing_tensorflow(tmp_path, served, models):
    examples, version, first = served
    # Not even the model's graph is there to be loaded.
    candidate = tmp_path / "candidate"
    candidate.mkdir()
    shutil.copy(models["good"] / "manifest.json", candidate)
    found = run(tmp_path, examples=examples, model=candidate, champion_uri=version, policy="slices: [carrier]")
    assert found == {"blessed": True, "reasons": "", "heavy": [], "logged": first.logged}
    for name in ("evaluation.json", "report.html", "eval_config.pbtxt"):
        copied = tmp_path / "out" / "evaluation" / name
        assert copied.read_bytes() == (first.folder / name).read_bytes()
    assert (tmp_path / "out" / "report").read_bytes() == first.report.read_bytes()


@pytest.mark.parametrize("what", ["policy", "examples", "model", "versions", "report", "contradiction"])
def test_anything_else_is_evaluated_anew(tmp_path, served, models, evaluate, what, capsys):
    examples, version, _ = served
    model, policy = models["good"], "slices: [carrier]"
    path = version / "evaluation" / "evaluation.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if what == "policy":
        policy = "slices: [origin]"
    elif what == "examples":
        examples = toys.write_examples(tmp_path / "later", toys.binary_columns(), fingerprint="sha256:later")
    elif what == "model":
        model = models["fair"]
    elif what == "versions":
        content["versions"]["mainspring"] = "0.0.1"
    elif what == "report":
        (version / "evaluation" / "report.html").unlink()
    else:
        content["reasons"] = ["no"]
    path.write_text(json.dumps(content), encoding="utf-8")
    result = evaluate(examples, model, champion=version, policy=policy)
    assert result.content["metrics"]["champion"] is not None
    assert "that stands" not in capsys.readouterr().out


def test_importing_the_module_imports_nothing_heavy():
    code = "import mainspring.components.evaluation.evaluate_model, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
