"""No step of a shipped pipeline runs as root, and a cluster that forbids it takes them all."""

from typing import Any

import pytest
import yaml
from kfp import dsl

from mainspring.components import notify, refuse_run
from mainspring.components.common.images import NOBODY
from mainspring.pipelines import accelerators, environments
from mainspring.pipelines.compiling import catalogue, kfp_yaml
from mainspring.pipelines.pods import restricted

SHIPPED = [*catalogue.BUILT_IN, *(f"{catalogue.TRAINING}{name}" for name in accelerators.SHIPPED)]


def security(text: str) -> dict[str, Any]:
    """Returns each executor's security context in a compiled pipeline; None where it has none."""
    spec, *platforms = yaml.safe_load_all(text)
    settings = platforms[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if platforms else {}
    return {name: settings.get(name, {}).get("securityContext") for name in spec["deploymentSpec"]["executors"]}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_step_of_a_shipped_pipeline_says_that_it_is_nobody(name: str) -> None:
    contexts = security((environments.PIPELINES / f"{name}.yaml").read_text())
    assert contexts
    nobody = {"runAsUser": str(NOBODY), "runAsGroup": str(NOBODY), "runAsNonRoot": True}
    assert {step: context for step, context in contexts.items() if context != nobody} == {}


def test_branches_and_exit_steps_of_ones_own_pipeline_are_nobody_as_well() -> None:
    @dsl.pipeline
    def own(really: bool = True):
        told = notify(to=["https://example.com"])
        with dsl.ExitHandler(told), dsl.If(really == True):  # noqa: E712
            refuse_run(stage="data", reasons="none")
        restricted.run_as_nobody()

    contexts = security(kfp_yaml.compiled(own))
    assert set(contexts) == {"exec-notify", "exec-refuse-run"}
    assert all(context["runAsNonRoot"] for context in contexts.values())


def test_outside_of_a_pipeline_it_says_where_it_belongs() -> None:
    with pytest.raises(RuntimeError, match=r"belongs into a function under @dsl\.pipeline"):
        restricted.run_as_nobody()
