"""Makes small real SavedModels; run with the serving environment's Python: `saved_models.py FOLDER`."""

import json
import sys
from pathlib import Path

import tensorflow as tf

DISTANCE = tf.TensorSpec([None], tf.float32, name="distance")
CARRIER = tf.TensorSpec([None], tf.string, name="carrier")


class Binary(tf.Module):
    """Probability sigmoid(distance / 100 + shift + [carrier is AA]); a missing distance counts as 0."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = tf.Variable(shift, dtype=tf.float32)

    @tf.function(input_signature=[DISTANCE, CARRIER])
    def serve(self, distance, carrier):
        known = tf.where(tf.math.is_nan(distance), 0.0, distance)
        probability = tf.sigmoid(known * 0.01 + self.shift + tf.where(carrier == "AA", 1.0, 0.0))
        return {"prediction": probability, "label": tf.where(probability > 0.5, "yes", "no")}


class Multiclass(tf.Module):
    """Three classes by distance."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable([0.0, 0.01, 0.02])

    @tf.function(input_signature=[DISTANCE, CARRIER])
    def serve(self, distance, carrier):
        known = tf.where(tf.math.is_nan(distance), 0.0, distance)
        probabilities = tf.nn.softmax(
            known[:, None] * self.weights[None, :] + tf.zeros_like(carrier == "AA", tf.float32)[:, None]
        )
        names = tf.constant(["near", "middling", "far"])
        return {"prediction": probabilities, "label": tf.gather(names, tf.argmax(probabilities, axis=1))}


class Regression(tf.Module):
    """Twice the distance; no number for a missing one."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable(2.0)

    @tf.function(input_signature=[DISTANCE])
    def serve(self, distance):
        return {"prediction": distance * self.factor}


class Unusable(Regression):
    """Predicts no number, whatever it is asked."""

    @tf.function(input_signature=[DISTANCE])
    def serve(self, distance):
        return {"prediction": distance * float("nan") * self.factor}


class Moody(Binary):
    """Another prediction each time: what a server gives is not what the model itself gives."""

    @tf.function(input_signature=[DISTANCE, CARRIER])
    def serve(self, distance, carrier):
        return {"prediction": tf.random.uniform(tf.shape(distance)) + tf.zeros_like(carrier == "", tf.float32)}


class Slow(Binary):
    """Multiplies matrices for every request, for nothing: a tenth of a second on a quick machine, more on others."""

    @tf.function(input_signature=[DISTANCE, CARRIER])
    def serve(self, distance, carrier):
        start = tf.eye(600) * 1e-3
        product = tf.while_loop(lambda i, m: i < 64, lambda i, m: (i + 1, tf.matmul(m, m)), (0, start))[1]
        return {
            "prediction": tf.sigmoid(self.shift)
            + 0.0 * product[0, 1] * tf.ones_like(distance, tf.float32)
            + tf.zeros_like(carrier == "", tf.float32)
        }


def save(module: tf.Module, folder: Path, signature: str = "serving_default") -> Path:
    """Saves a module with its signature."""
    tf.saved_model.save(module, str(folder), signatures={signature: module.serve})
    return folder


def main(root: Path) -> None:
    """Saves the models that the deployment tests serve, each with what goes beside a model."""
    modules = {"a": Binary(0.0), "b": Binary(2.0), "c": Binary(-2.0), "unusable": Unusable()}
    for name, module in (modules | {"moody": Moody(0.0), "slow": Slow(0.0)}).items():
        folder = save(module, root / name)
        manifest = {
            "task": "binary_classification",
            "label": "late",
            "classes": ["no", "yes"],
            "features": {"distance": "numeric"} | ({"carrier": "categorical"} if name != "unusable" else {}),
            "hyperparameters": {},
            "seed": 1,
            "examples_fingerprint": f"sha256:examples-{name}",
            "schema_fingerprint": "sha256:schema",
            "parent": "",
            "fingerprint": f"sha256:{name}",
            "versions": {},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "schema.pbtxt").write_text("")
        if name != "unusable":
            request = {"instances": [{"distance": 100.0, "carrier": "AA"}]}
            (folder / "request.json").write_text(json.dumps(request))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
