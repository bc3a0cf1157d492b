"""What a step before did not let pass is refused in the words in which the run ends, before anything is done."""

import pytest

from mainspring.components.common.errors import UserError, is_refusal
from mainspring.components.deployment.approve import approve
from mainspring.components.deployment.deploy_model import deploy_model

NOTHING = ("nowhere", "nowhere", "nowhere", "local://flights")


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ({"reasons": "auc is 0.5\nrecall is 0.1"}, "the model was refused: auc is 0.5; recall is 0.1"),
        ({"approved": False}, "the model was refused: nobody approved it in time"),
        ({"approved": False, "approved_by": "ann"}, "the model was refused: ann rejected it"),
        (
            {"terms": "2020-01-01T00:00:00+00:00 the allowance has ended"},
            "the data was refused: the allowance has ended",
        ),
    ],
)
def test_a_deployment_refuses_what_did_not_pass(gates, words) -> None:
    with pytest.raises(UserError) as error:
        deploy_model(*NOTHING, **gates)
    assert str(error.value) == words
    assert is_refusal(words)


def test_nobody_is_asked_about_a_model_that_is_not_blessed() -> None:
    with pytest.raises(UserError, match=r"^the model was refused: auc is 0\.5$"):
        approve("nowhere", "nowhere", "local://flights", "{ann: key}", reasons="auc is 0.5")
