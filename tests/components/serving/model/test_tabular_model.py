from __future__ import annotations

import asyncio
import json

import numpy as np
import orjson
import pytest
import saved_models
import tensorflow as tf
from kserve import InferInput, InferRequest

from mainspring.components.common.errors import UserError
from mainspring.components.serving.model.tabular_model import TabularModel


def loaded(path) -> TabularModel:
    model = TabularModel("it", 1, path)
    assert model.load()
    return model


def predict(model, *rows):
    return asyncio.run(model.predict({"instances": list(rows)}))["predictions"]


def test_a_classifier_of_three_classes_answers_with_a_probability_each(tmp_path):
    near, far = predict(
        loaded(saved_models.save(saved_models.Multiclass(), tmp_path)), {"distance": 0}, {"distance": 900}
    )
    assert near["prediction"] == pytest.approx([1 / 3] * 3)
    assert sum(far["prediction"]) == pytest.approx(1)
    assert far["label"] == "far"


class Broken(saved_models.Multiclass):
    """Probabilities that are no numbers, or none that a probability can be, for negative distances."""

    @tf.function(input_signature=[saved_models.DISTANCE, saved_models.CARRIER])
    def serve(self, distance, carrier):
        names = tf.constant(["near", "middling", "far"])
        values = tf.where(distance < -1000, float("nan"), tf.where(distance < 0, 7.0, 0.3))[:, None]
        values += 0 * self.weights[None, :] + tf.zeros_like(carrier == "", tf.float32)[:, None]
        return {"prediction": values, "label": tf.gather(names, tf.argmax(values, axis=1))}


def test_a_row_without_a_usable_prediction_gets_no_class_by_any_protocol(tmp_path):
    model = loaded(saved_models.save(Broken(), tmp_path))
    distances = [5.0, -2000.0, -5.0]
    assert [row["label"] for row in predict(model, *({"distance": each} for each in distances))] == ["near", None, None]
    assert json.loads(asyncio.run(model.answer_rows(b'{"instances": [{"distance": -2000}]}'))) == {
        "predictions": [{"prediction": [None, None, None], "label": None}]
    }
    for binary, labels in ((False, ["near", None, None]), (True, ["near", "", ""])):
        asked = {"binary_data_output": binary}
        request = InferRequest("it", [InferInput("distance", [3], "FP32", distances)], parameters=asked)
        rest, length = asyncio.run(model.predict(request)).to_rest()
        if not binary:
            assert json.loads(orjson.dumps(rest))["outputs"][1]["data"] == labels
        else:
            assert rest[length:].endswith(b"\x04\0\0\0near" + bytes(8))


def test_no_rows_get_no_answers(tmp_path):
    model = loaded(saved_models.save(saved_models.Multiclass(), tmp_path))
    assert asyncio.run(model.answer_rows(b'{"instances": []}')) == b'{"predictions":[]}'
    request = InferRequest("it", [InferInput("distance", [0], "FP32", [])])
    assert [output.shape for output in asyncio.run(model.predict(request)).outputs] == [[0, 3], [0]]


def test_a_boolean_label_is_answered_as_true_and_false(tmp_path):
    class Truths(saved_models.Binary):
        @tf.function(input_signature=[saved_models.DISTANCE])
        def serve(self, distance):
            return {"prediction": tf.sigmoid(distance + self.shift), "label": tf.where(distance > 0, "true", "false")}

    saved_models.save(Truths(0.0), tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"label": "late", "booleans": ["late", "distance"]}))
    model = loaded(tmp_path)
    answered = predict(model, {"distance": True}, {"distance": "false"}, {"distance": 0.5})
    assert [row["label"] for row in answered] == [True, False, True]


def test_a_regression_answers_with_a_value_and_no_label(tmp_path):
    assert predict(loaded(saved_models.save(saved_models.Regression(), tmp_path)), {"distance": 21}) == [
        {"prediction": 42.0}
    ]


def test_rows_are_answered_alike_in_the_callers_thread_and_with_the_help_of_others(tmp_path):
    model = loaded(saved_models.save(saved_models.Multiclass(), tmp_path))
    columns = {"distance": np.float32([0, 400, np.nan]), "carrier": np.array([b"AA", b"", "é".encode()], dtype=object)}
    alone, helped = (
        model.signature.run(model.signature.packed(columns), in_place=in_place) for in_place in (True, False)
    )
    assert list(alone) == list(helped) == ["prediction", "label"]
    assert alone["prediction"] == pytest.approx(helped["prediction"])
    assert alone["label"].tolist() == helped["label"].tolist() == [b"near", b"far", b"near"]
    own = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](**columns)
    assert alone["prediction"] == pytest.approx(own["prediction"].numpy())


def test_integer_features_take_whole_numbers_and_cannot_be_missing(tmp_path):
    class Doubled(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="stops")])
        def serve(self, stops):
            return {"prediction": tf.cast(stops * 2, tf.float32)}

    model = loaded(saved_models.save(Doubled(), tmp_path))
    assert predict(model, {"stops": 4}, {"stops": 2.0}) == [{"prediction": 8.0}, {"prediction": 4.0}]
    for wrong in (2.5, None, 2**70):
        with pytest.raises(ValueError, match="'stops'"):
            predict(model, {"stops": wrong})


def test_a_model_without_the_serving_signature_is_refused(tmp_path):
    saved_models.save(saved_models.Regression(), tmp_path, signature="other")
    with pytest.raises(UserError, match="serving_default"):
        TabularModel("it", 1, tmp_path).load()


def test_a_model_without_a_prediction_is_refused(tmp_path):
    class Silent(tf.Module):
        @tf.function(input_signature=[saved_models.DISTANCE])
        def serve(self, distance):
            return {"score": distance}

    saved_models.save(Silent(), tmp_path)
    with pytest.raises(UserError, match="prediction"):
        TabularModel("it", 1, tmp_path).load()
