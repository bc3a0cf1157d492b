from __future__ import annotations

import conftest
import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.versions import publish, signatures


def test_the_signatures_of_a_real_saved_model_are_read_without_tensorflow(saved_models):
    found = signatures.read(saved_models / "a" / "saved_model.pb")["serving_default"]
    assert "prediction" in found.outputs
    assert found.inputs


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (b"no proto at all", "cannot be decoded"),
        (conftest.graph(["x"], ["prediction"])[:-4], "cannot be decoded"),
        (
            conftest.graph(["x"], ["prediction"], signature="train"),
            "no signature 'serving_default' \\(it has: train\\)",
        ),
        (conftest.graph(["x"], ["score"]), "no output 'prediction' \\(it has: score\\)"),
        (conftest.graph(["y"], ["prediction"]), "1 not taken, such as 'x'; 1 more than the manifest names"),
    ],
)
def test_a_model_that_cannot_be_asked_is_not_published(fake_model, graph, says):
    model = fake_model("a")
    (model / "saved_model.pb").write_bytes(graph)
    with pytest.raises(UserError, match=says):
        publish.check_layout(model)
