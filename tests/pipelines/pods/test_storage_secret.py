"""Steps reach S3-compatible storage by a Secret's keys, by reference, and start without it where there is none."""

from typing import Any

import pytest
import yaml
from kfp import dsl, kubernetes

from mainspring.components import refuse_run
from mainspring.pipelines import accelerators, environments
from mainspring.pipelines.compiling import catalogue, kfp_yaml
from mainspring.pipelines.pods import storage_secret

SHIPPED = [*catalogue.BUILT_IN, *(f"{catalogue.TRAINING}{name}" for name in accelerators.SHIPPED)]


def secrets(text: str) -> dict[str, Any]:
    """Returns what each executor of a compiled pipeline takes from Secrets as variables."""
    spec, platforms = yaml.safe_load_all(text)
    settings = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name: settings.get(name, {}).get("secretAsEnv") for name in spec["deploymentSpec"]["executors"]}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_step_of_a_shipped_pipeline_takes_the_storage_secrets_keys_if_it_is_there(name: str) -> None:
    found = secrets((environments.PIPELINES / f"{name}.yaml").read_text())
    assert found
    for step, [secret] in found.items():
        assert (secret["secretName"], secret["optional"]) == ("mainspring-storage", True), step
        assert [key["envVar"] for key in secret["keyToEnv"]] == list(storage_secret.KEYS), step


def test_it_is_what_kfps_own_setting_writes() -> None:
    @dsl.pipeline(name="same")
    def ours():
        refuse_run(stage="data", reasons="none")
        storage_secret.reach_storage("other")

    @dsl.pipeline(name="same")
    def theirs():
        keys = {key: key for key in storage_secret.KEYS}
        kubernetes.use_secret_as_env(refuse_run(stage="data", reasons="none"), "other", keys, optional=True)

    assert secrets(kfp_yaml.compiled(ours)) == secrets(kfp_yaml.compiled(theirs))


def test_outside_of_a_pipeline_it_says_where_it_belongs() -> None:
    with pytest.raises(RuntimeError, match=r"reach_storage belongs into a function under @dsl\.pipeline"):
        storage_secret.reach_storage()
