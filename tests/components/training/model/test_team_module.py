"""A team's own `build_model(context)`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from samples import Recorder, Trained

from mainspring.components.common.errors import UserError
from mainspring.components.training.train_model import train_model

README = Path(__file__).parents[4] / "components" / "training" / "README.md"


def test_the_readmes_module_trains_and_is_served(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path
) -> None:
    code = re.search(r"```python\n(.*?def build_model.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    module = tmp_path / "mine.py"
    module.write_text(code[1])
    made = train(binary_examples, label="good", module=str(module), max_epochs=8)
    assert made.metrics["eval_auc"] > 0.95
    assert made.manifest["hyperparameters"]["module"] == str(module)
    answer = tf.saved_model.load(str(made.folder)).signatures["serving_default"](
        size=tf.constant([2.0]), count=tf.constant([8.0]), colour=tf.constant(["red"])
    )
    assert answer["label"].numpy()[0] == b"1"


def test_the_readmes_training_loop_trains_and_is_served(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path
) -> None:
    code = re.search(
        r"```python\n(import keras\nimport tensorflow.*?def train.*?)```", README.read_text("utf-8"), re.DOTALL
    )
    assert code is not None
    module = tmp_path / "mine.py"
    module.write_text(code[1])
    made = train(binary_examples, label="good", module=str(module), hyperparameters='{"custom": {"epochs": 6}}')
    assert made.metrics["eval_auc"] > 0.85
    assert made.report.count("<svg") >= 2


def test_the_context_tells_what_is_known(train: Callable[..., Trained], binary_examples: Path, tmp_path: Path) -> None:
    module = tmp_path / "asking.py"
    module.write_text(
        "import dataclasses\n"
        "import keras\n"
        "def build_model(context):\n"
        "    assert context.task == 'binary_classification' and context.classes == ('0', '1'), context\n"
        "    assert context.features == {'size': 'numeric', 'count': 'numeric', 'colour': 'categorical'}\n"
        "    assert context.id_columns == ('size', 'count', 'colour') and context.id_counts[2] == 5\n"
        "    assert context.number_columns == ('size', 'count') and context.label == 'good'\n"
        "    assert context.seed == 7 == context.hyperparameters.seed and len(context.schema.feature) == 4\n"
        "    try:\n"
        "        context.seed = 1\n"
        "    except dataclasses.FrozenInstanceError:\n"
        "        return keras.Model(context.inputs, context.output(context.embedded()))\n"
    )
    assert train(binary_examples, label="good", module=str(module), seed=7, max_epochs=1).fingerprint


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def build(context): pass\n", r"does not define build_model\(context\) -> keras.Model"),
        ("def build_model(context)\n    pass\n", r"user.py:1: SyntaxError"),
        ("import nothing_like_this\n", r"user.py:1: ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("\ndef build_model(context):\n    return context.labels\n", r"user.py:3: AttributeError"),
        ("def build_model(): pass\n", r"build_model must take one argument, the context"),
        ("def build_model(context): return 1\n", "build_model returned int, not a keras.Model"),
        (
            "import keras\ndef build_model(context):\n"
            "    return keras.Model(context.inputs, keras.layers.Dense(3)(context.embedded()))\n",
            r"shape \(2, 3\) for 2 rows, not \(2, 1\); end it with context.output",
        ),
        (
            "import keras\ndef build_model(context):\n"
            "    x = keras.layers.Dense(1, activation='sigmoid')(context.embedded())\n"
            "    return keras.Model(context.inputs, x)\n",
            "ends with sigmoid, but its output must be logits",
        ),
        (
            "import keras\ndef build_model(context):\n"
            "    x = keras.Input([4])\n    return keras.Model(x, keras.layers.Dense(1)(x))\n",
            "the model does not take the context's inputs",
        ),
        (
            "import keras\ndef build_model(context):\n"
            "    return keras.Model(context.inputs, {'late': context.output(context.embedded())})\n",
            "the model gives dict, not one tensor; end it with context.output",
        ),
        ("import sys\nsys.exit(0)\n", r"user.py:2: SystemExit: 0"),
        ("def build_model(context):\n    raise SystemExit(0)\n", r"user.py:2: SystemExit: 0"),
    ],
)
def test_a_broken_module_is_one_line_that_says_where(
    binary_examples: Path, tmp_path: Path, code: str, message: str
) -> None:
    module = tmp_path / "user.py"
    module.write_text(code)
    with pytest.raises(UserError, match=message) as caught:
        _train(binary_examples, tmp_path, str(module))
    assert str(caught.value).startswith("module: ")
    assert "\n" not in str(caught.value)


MORE_THAN_WEIGHTS = """
from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf


@dataclass
class Design:
    words: tuple[int, ...] = (0, 1, 2, 3, 4)


class Scaled(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(2.0, trainable=False)

    def call(self, x):
        return x * self.scale


def build_model(context):
    known = keras.layers.IntegerLookup(vocabulary=Design().words, output_mode="multi_hot")(context.inputs["ids"])
    x = keras.layers.Concatenate()([known, Scaled()(context.inputs["numbers"])])
    return keras.Model(context.inputs, context.output(x))
"""


def test_a_model_with_tables_and_variables_of_its_own_is_served(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path
) -> None:
    module = tmp_path / "own.py"
    module.write_text(MORE_THAN_WEIGHTS)
    made = train(binary_examples, label="good", module=str(module), max_epochs=8, learning_rate=0.1)
    assert made.metrics["eval_auc"] > 0.8
    assert _served_loss(made) == pytest.approx(made.metrics["eval_loss"], rel=1e-4)
    again = train(
        binary_examples,
        **{"label": "good", "module": str(module), "max_epochs": 1, "warm_start": True, "parent_uri": str(made.folder)},
    )
    assert again.metrics["eval_loss"] < made.metrics["eval_loss"] + 0.05


def test_the_figures_of_a_train_function_are_those_of_the_model_that_it_returns(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "loop.py"
    # A loop that ends worse than it was, and one that returns a model that nobody has judged.
    for ending in ("context.epoch_ended(model, 0.7)", "pass"):
        module.write_text(
            "import keras\n"
            "def train(context):\n"
            "    with context.strategy.scope():\n"
            "        model = keras.Model(context.inputs, context.output(context.embedded()))\n"
            "    context.fit(model)\n"
            "    model.set_weights([-3 * weights for weights in model.get_weights()])\n"
            f"    {ending}\n"
            "    return model\n"
        )
        made = train(binary_examples, label="good", module=str(module), max_epochs=3)
        assert made.metrics["eval_auc"] < 0.5
        assert _served_loss(made) == pytest.approx(made.metrics["eval_loss"], rel=1e-4)
        assert ("no epoch has judged" in capsys.readouterr().out) is (ending == "pass")


def _served_loss(made: Trained) -> float:
    table = pq.read_table(made.examples / "eval")
    columns = {name: table[name].to_pylist() for name in ("size", "count", "colour")}
    served = tf.saved_model.load(str(made.folder)).signatures["serving_default"]
    likely = served(
        **{
            name: tf.constant([float("nan") if value is None else value for value in columns[name]], tf.float32)
            for name in ("size", "count")
        },
        colour=tf.constant([value or "" for value in columns["colour"]]),
    )["prediction"].numpy()
    return float(-np.mean(np.log(np.where(np.array(table["good"].to_pylist()) == 1, likely, 1 - likely))))


def test_the_line_is_told_of_a_module_named_from_where_one_is(
    binary_examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user.py").write_text("\n\nimport nothing_like_this\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"module: user.py:3: ModuleNotFoundError"):
        _train(binary_examples, tmp_path, "user.py")


def test_a_module_that_is_not_there_is_one_line(binary_examples: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"module: .*gone.py: no such file"):
        _train(binary_examples, tmp_path, str(tmp_path / "gone.py"))


def _train(examples: Path, tmp_path: Path, module: str) -> None:
    train_model(
        examples=str(examples),
        schema=str(examples),
        label="good",
        model=str(tmp_path / "model"),
        metrics=Recorder(),
        report=str(tmp_path / "r.html"),
        module=module,
        max_epochs=1,
    )


OWN_LOOP = """
import keras
import tensorflow as tf

def build_model(context):
    return keras.Model(context.inputs, context.output(context.embedded()))

def train(context):
    with context.strategy.scope():
        model = build_model(context)
        optimizer = keras.optimizers.SGD(0.5)
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
    for epoch in range(context.hyperparameters.custom.get("epochs", 3)):
        losses = []
        for inputs, targets in context.datasets.train(batch_size=64, epochs=1):
            with tf.GradientTape() as tape:
                loss = loss_of(targets, model(inputs, training=True))
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
            losses.append(float(loss))
        context.epoch_ended(model, sum(losses) / len(losses))
    assert sum(len(targets) for _, targets in context.datasets.evaluation(batch_size=100)) == context.datasets.eval_rows
    assert context.folders.scratch.is_dir() and context.folders.checkpoints == ""
    return model
"""


def test_a_training_loop_of_ones_own_is_watched_reported_and_served(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "loop.py"
    module.write_text(OWN_LOOP)
    made = train(binary_examples, label="good", module=str(module), hyperparameters='{"custom": {"epochs": 4}}')
    assert capsys.readouterr().out.count("\nepoch ") == 4
    assert made.metrics["eval_auc"] > 0.9
    assert made.metrics["loss"] < 0.5
    assert made.manifest["hyperparameters"]["custom"] == {"epochs": 4}
    assert made.manifest["hyperparameters"]["module_digest"].startswith("sha256:")
    assert made.report.count("<polyline") >= 3
    assert tf.saved_model.load(str(made.folder)).signatures["serving_default"]


def test_a_train_function_may_let_the_component_fit(
    train: Callable[..., Trained], binary: Trained, binary_examples: Path, tmp_path: Path
) -> None:
    module = tmp_path / "fitted.py"
    module.write_text(
        "from mainspring.components.training.model import network\n"
        "def train(context):\n"
        "    with context.strategy.scope():\n"
        "        model = network.build_model(context)\n"
        "    context.fit(model)\n"
        "    return model\n"
    )
    made = train(binary_examples, label="good", module=str(module), max_epochs=8)
    assert made.metrics == pytest.approx(binary.metrics)


def test_a_train_function_that_says_nothing_is_judged_all_the_same(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path
) -> None:
    module = tmp_path / "silent.py"
    module.write_text(
        "import keras\n"
        "def train(context):\n"
        "    return keras.Model(context.inputs, context.output(context.embedded()))\n"
    )
    made = train(binary_examples, label="good", module=str(module))
    assert 0 < made.metrics["eval_auc"] < 1
    assert "loss" not in made.metrics


def test_a_module_of_the_image_is_imported_by_its_name(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "our_team" / "models"
    package.mkdir(parents=True)
    (package / "small.py").write_text(
        "import keras\n"
        "def build_model(context):\n"
        "    return keras.Model(context.inputs, context.output(context.embedded()))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    made = train(binary_examples, label="good", module="our_team.models.small", max_epochs=1)
    assert made.manifest["hyperparameters"]["module"] == "our_team.models.small"
    with pytest.raises(UserError, match=r"module: there is no module 'our_team.models.large' in this image"):
        _train(binary_examples, tmp_path, "our_team.models.large")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def train(context): return None\n", "train returned NoneType, not a keras.Model"),
        ("def train(context):\n    raise RuntimeError('no\\nway')\n", "user.py:2: RuntimeError: no way"),
        ("def train(a, b): pass\n", "train must take one argument, the context"),
        ("train = 3\n", r"does not define build_model\(context\) -> keras.Model, nor train\(context\)"),
        ("build_model = 3\ndef train(context): pass\n", "build_model is no function"),
    ],
)
def test_a_broken_train_function_is_one_line(binary_examples: Path, tmp_path: Path, code: str, message: str) -> None:
    module = tmp_path / "user.py"
    module.write_text(code)
    with pytest.raises(UserError, match=message):
        _train(binary_examples, tmp_path, str(module))
