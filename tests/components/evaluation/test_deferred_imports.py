"""What an evaluation never uses is not imported, and is there all the same for whoever asks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_model_analysis.evaluators  # noqa: F401 (Here, everything is imported at once.)
import toys

EVALUATE = """
import sys
from types import SimpleNamespace
from mainspring.components.evaluation.evaluate_model import evaluate_model
examples, model, out, policy = sys.argv[1:]
metrics = SimpleNamespace(log_metric=lambda name, value: None)
verdict = evaluate_model(examples, model, out, metrics, out + "-report.html", champion_uri=model, policy=policy)
assert verdict.blessed, verdict.reasons
loaded = [name for name in %r if name in sys.modules]
assert not loaded, loaded
"""

POLICY = "{metrics: [AUC, BinaryAccuracy, Calibration], slices: [carrier], gates: [{metric: auc, min: 0.6}]}"

SIGNS = [
    "IPython.core",
    "google.cloud.bigquery.client",
    "google.cloud.bigquery_storage_v1.client",
    "google.cloud.dataflow_v1beta3",
    "google.cloud.pubsub_v1",
    "googleapiclient.http",
    "ipywidgets",
    "nltk",
    "sacrebleu",
    "scipy.ndimage._filters",
    "scipy.stats._stats_py",
    "tensorflow_model_analysis.evaluators",
    "tensorflow_model_analysis.view",
    "tensorflow_model_analysis.writers",
]
"""Modules that are there only once what is deferred was really imported."""

PREDICT = """
import sys
from mainspring.components.evaluation.predict_batch import predict_batch
examples, model, out = sys.argv[1:]
assert predict_batch(model, out, examples, split="eval").rows
loaded = {"apache_beam", "tensorflow_model_analysis", "tf_keras", "scipy.stats"} & set(sys.modules)
assert not loaded, loaded
"""

ASK = """
import sys
from importlib import import_module
from mainspring.components.evaluation import deferred_imports, evaluate_model
if sys.argv[1] == "deferred":
    evaluate_model.preload()
    for _, module in list(sys.modules.items()):  # As `inspect` does.
        hasattr(module, "__file__")
    assert not [name for name in %r if name in sys.modules]
    assert not [finder for finder in sys.meta_path if type(finder).__module__.endswith("deferred_imports")]
import tensorflow_model_analysis as tfma
assert tfma.metrics.AUC and tfma.analyze_raw_data.__module__ == "tensorflow_model_analysis.api.model_eval_lib"
assert not hasattr(tfma, "no_such_name")
import IPython.display, google.cloud.bigquery.client, scipy.stats.distributions
for name in (*deferred_imports.UNUSED, deferred_imports.ROOT):
    module = import_module(name)
    assert not hasattr(module, "no_such_name")
    print(name, module.__file__, sorted(key for key in vars(module) if key.strip("_") == key or key == "__path__"))
"""


def _run(code: str, *arguments: Path | str) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def examples(tmp_path):
    return toys.write_examples(tmp_path / "examples", toys.binary_columns())


def test_an_evaluation_imports_nothing_that_it_does_not_use_and_finds_the_same(tmp_path, examples, models, evaluate):
    out = tmp_path / "out"
    _run(EVALUATE % SIGNS, examples, models["good"], out, POLICY)
    found = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    whole = evaluate(examples, models["good"], champion=models["good"], policy=POLICY).content
    assert found["slices"]
    for what in ("metrics", "intervals", "slices", "worst_slices", "gates", "roc", "confusion_matrix"):
        assert found[what] == whole[what]


def test_bulk_inference_imports_neither_tfma_nor_beam(tmp_path, examples, models):
    _run(PREDICT, examples, models["good"], tmp_path / "out")


def test_what_is_deferred_is_whole_when_it_is_asked_for():
    assert _run(ASK % SIGNS, "deferred") == _run(ASK % SIGNS, "plain")
