from __future__ import annotations

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import targets
from mainspring.components.deployment.targets import Target


def test_both_forms_are_understood():
    assert targets.parse("local://flights") == Target("local", "flights")
    assert targets.parse("kserve://team-a/flights-2") == Target("kserve", "flights-2", "team-a")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "flights",
        "local:flights",
        "local://a/b",
        "kserve://flights",
        "kserve://a/b/c",
        "http://x",
        "local:///a",
    ],
)
def test_another_form_is_refused_with_the_forms_there_are(target):
    with pytest.raises(UserError, match="local://<name>") as error:
        targets.parse(target)
    assert repr(target) in str(error.value)


@pytest.mark.parametrize("name", ["", "Flights", "flight_delays", "-a", "a-", "a.b", "a b", "a" * 64, "é", "..", "a\n"])
def test_a_name_that_is_no_dns_label_is_refused(name):
    with pytest.raises(UserError, match="DNS label"):
        targets.parse(f"local://{name}")
