from __future__ import annotations

import asyncio

import numpy as np
import pytest
import saved_models
import tensorflow as tf

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
