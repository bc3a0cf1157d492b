"""Accelerator profiles: what each compiles to, field by field, and which combinations are refused.

Without `from __future__ import annotations`: KFP reads the pipelines' annotations.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import components, dsl

from mainspring.components import ingest_examples, train_model, validate_examples
from mainspring.components.common.errors import UserError
from mainspring.pipelines import accelerators
from mainspring.pipelines.accelerators import Profile, Toleration, gke
from mainspring.pipelines.compiling.kfp_yaml import compiled
from mainspring.pipelines.environments import PIPELINES
from mainspring.pipelines.pods import storage_secret
from mainspring.pipelines.training import training_on

GPU, TPU = "cloud.google.com/gke-accelerator", "cloud.google.com/gke-tpu-accelerator"
TOPOLOGY, CHIPS = "cloud.google.com/gke-tpu-topology", "cloud.google.com/gke-accelerator-count"
SPOT = "cloud.google.com/gke-spot"

# Written down once more, not computed: name, resource, chips, machine type, labels, CPU, memory, shared memory.
EXPECTED: dict[str, tuple[str, str, str, dict[str, str], str, str, str]] = {
    "t4": ("nvidia.com/gpu", "1", "n1-standard-8", {GPU: "nvidia-tesla-t4"}, "6", "25G", "8Gi"),
    "l4": ("nvidia.com/gpu", "1", "g2-standard-12", {GPU: "nvidia-l4"}, "9", "40G", "8Gi"),
    "l4-x4": ("nvidia.com/gpu", "4", "g2-standard-48", {GPU: "nvidia-l4"}, "42", "163G", "32Gi"),
    "a100-40gb": ("nvidia.com/gpu", "1", "a2-highgpu-1g", {GPU: "nvidia-tesla-a100"}, "9", "72G", "8Gi"),
    "a100-80gb": ("nvidia.com/gpu", "1", "a2-ultragpu-1g", {GPU: "nvidia-a100-80gb"}, "9", "144G", "8Gi"),
    "h100": ("nvidia.com/gpu", "1", "a3-highgpu-1g", {GPU: "nvidia-h100-80gb"}, "22", "198G", "8Gi"),
    "h200-x8": ("nvidia.com/gpu", "8", "a3-ultragpu-8g", {GPU: "nvidia-h200-141gb"}, "200", "2509G", "64Gi"),
    "b200-x8": ("nvidia.com/gpu", "8", "a4-highgpu-8g", {GPU: "nvidia-b200"}, "200", "3372G", "64Gi"),
    "v5e-2x4": (
        *("google.com/tpu", "8", "ct5lp-hightpu-8t"),
        {TPU: "tpu-v5-lite-podslice", TOPOLOGY: "2x4", CHIPS: "8"},
        *("200", "326G", "16Gi"),
    ),
    "v5p-2x2x1": (
        *("google.com/tpu", "4", "ct5p-hightpu-4t"),
        {TPU: "tpu-v5p-slice", TOPOLOGY: "2x2x1", CHIPS: "4"},
        *("186", "380G", "16Gi"),
    ),
    "v6e-2x4": (
        *("google.com/tpu", "8", "ct6e-standard-8t"),
        {TPU: "tpu-v6e-slice", TOPOLOGY: "2x4", CHIPS: "8"},
        *("161", "1224G", "16Gi"),
    ),
}


def documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a compiled pipeline and what it says of Kubernetes, by executor."""
    specification, platforms = yaml.safe_load_all(text)
    return specification, platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def task_of(specification: dict[str, Any]) -> dict[str, Any]:
    (task,) = specification["root"]["dag"]["tasks"].values()
    return task


def test_every_shipped_profile_is_checked_here() -> None:
    assert set(EXPECTED) == set(accelerators.SHIPPED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_compiled_pipeline_of_a_profile_says_all_that_its_node_pool_needs(name: str) -> None:
    resource, count, machine, labels, cpu, memory, shared = EXPECTED[name]
    specification, executors = documents((PIPELINES / "training" / f"{name}.yaml").read_text(encoding="utf-8"))

    assert specification["pipelineInfo"]["name"] == f"train-on-{name}"
    assert machine in specification["pipelineInfo"]["description"]
    container = specification["deploymentSpec"]["executors"]["exec-train-model"]["container"]
    variant = "gpu" if resource == "nvidia.com/gpu" else "tpu"
    assert re.fullmatch(rf"mainspring/training:[\d.]+-{variant}", container["image"])
    resources = container["resources"]
    assert (resources["accelerator"]["resourceType"], resources["accelerator"]["resourceCount"]) == (resource, count)
    assert resources["resourceCpuRequest"] == cpu
    assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"] == memory
    assert task_of(specification)["retryPolicy"] == {
        "maxRetryCount": 2,
        "backoffDuration": "30s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "900s",
    }
    expectation = task_of(specification)["inputs"]["parameters"]["accelerator"]
    assert expectation == {"runtimeValue": {"constant": f"gpu:{count}" if variant == "gpu" else "tpu"}}
    assert "accelerator" not in specification["root"]["inputDefinitions"]["parameters"]
    assert executors == {
        "exec-train-model": {
            "nodeSelector": {"labels": labels},
            "tolerations": [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}],
            "emptyDirMounts": [
                {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": shared}
            ],
            "securityContext": {"runAsUser": "65532", "runAsGroup": "65532", "runAsNonRoot": True},
            "activeDeadlineSeconds": "86400",
            "secretAsEnv": [
                {
                    "secretName": storage_secret.SECRET,
                    "secretNameParameter": {"runtimeValue": {"constant": storage_secret.SECRET}},
                    "keyToEnv": [{"secretKey": key, "envVar": key} for key in storage_secret.KEYS],
                    "optional": True,
                }
            ],
        }
    }


def test_on_spot_machines_the_taint_is_tolerated_and_more_retries_are_made() -> None:
    specification, executors = documents(compiled(training_on("l4-x4", spot=True, timeout=3600)))

    (pool,) = executors.values()
    assert pool["nodeSelector"]["labels"] == {GPU: "nvidia-l4", SPOT: "true"}
    assert {"key": SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"} in pool["tolerations"]
    assert pool["activeDeadlineSeconds"] == "3600"
    assert task_of(specification)["retryPolicy"]["maxRetryCount"] == 5


def test_another_teams_pipeline_that_loads_the_yaml_keeps_the_node_pool() -> None:
    train_on_tpu = components.load_component_from_file(str(PIPELINES / "training" / "v5e-2x4.yaml"))

    @dsl.pipeline(name="theirs")
    def theirs(source: str, label: str):  # type: ignore[no-untyped-def]
        ingested = ingest_examples(source=source)
        validated = validate_examples(examples=ingested.outputs["examples"], label=label)
        train_on_tpu(examples=ingested.outputs["examples"], schema=validated.outputs["schema"], label=label)

    specification, executors = documents(compiled(theirs))

    assert executors["exec-train-model"]["nodeSelector"]["labels"] == EXPECTED["v5e-2x4"][3]
    assert executors["exec-train-model"]["emptyDirMounts"][0]["mountPath"] == "/dev/shm"
    container = specification["deploymentSpec"]["executors"]["exec-train-model"]["container"]
    assert container["resources"]["accelerator"] == {
        "count": "8",
        "resourceCount": "8",
        "resourceType": "google.com/tpu",
        "type": "google.com/tpu",
    }


def test_values_of_ones_own_go_before_the_profiles() -> None:
    @dsl.pipeline(name="ours")
    def ours(examples: dsl.Input[dsl.Dataset], schema: dsl.Input[dsl.Artifact], label: str):  # type: ignore[no-untyped-def]
        task = train_model(examples=examples, schema=schema, label=label)
        accelerators.apply(task, "t4", cpu="4", memory="15Gi", shared_memory="2Gi", retries=0, timeout=60)

    specification, executors = documents(compiled(ours))

    resources = specification["deploymentSpec"]["executors"]["exec-train-model"]["container"]["resources"]
    assert resources["resourceCpuRequest"] == "4"
    assert resources["resourceMemoryLimit"] == "15Gi"
    assert executors["exec-train-model"]["emptyDirMounts"][0]["sizeLimit"] == "2Gi"
    assert executors["exec-train-model"]["activeDeadlineSeconds"] == "60"


def test_every_machine_and_topology_agrees_with_its_chips() -> None:
    gpus = [accelerators.gpu(kind, count) for kind, found in gke.GPUS.items() for count in found.machines]
    slices = [
        accelerators.tpu(kind, shape) for kind, found in gke.TPUS.items() for shape in (*found.alone, *found.together)
    ]

    assert len(gpus) == 23
    for pool in slices:
        topology = dict(pool.selectors)[TOPOLOGY]
        product = 1
        for side in topology.split("x"):
            product *= int(side)
        assert pool.chips == product == pool.count * pool.machines
        assert dict(pool.selectors)[CHIPS] == str(pool.count) == pool.machine_type.rpartition("-")[2].rstrip("t")
    for pool in gpus:
        assert pool.machines == 1
        assert not pool.machine_type.endswith("g") or pool.machine_type.endswith(f"-{pool.count}g")


@pytest.mark.parametrize(
    ("kind", "shape", "per_machine", "machines", "machine"),
    [
        ("v5e", "4x4", None, 4, "ct5lp-hightpu-4t"),
        ("v5e", "16x16", None, 64, "ct5lp-hightpu-4t"),
        ("v5e", "2x4", 4, 2, "ct5lp-hightpu-4t"),
        ("v5p", "2x2x2", None, 2, "ct5p-hightpu-4t"),
        ("v5p", "8x12x16", None, 384, "ct5p-hightpu-4t"),
        ("v6e", "8x8", None, 16, "ct6e-standard-4t"),
    ],
)
def test_a_slice_of_several_machines(
    kind: str, shape: str, per_machine: int | None, machines: int, machine: str
) -> None:
    pool = accelerators.tpu(kind, shape, per_machine)

    assert (pool.machines, pool.count, pool.machine_type) == (machines, 4, machine)


TWO_HOSTS = Profile("h100", "nvidia.com/gpu", 8, 2, "", (("pool", "h100"),))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: accelerators.gpu("l4", 3), "no machine with 3 l4 GPUs; there are 1 (g2-standard-12), 2"),
        (lambda: accelerators.gpu("h200", 1), "no machine with 1 h200 GPUs; there are 8 (a3-ultragpu-8g)"),
        (lambda: accelerators.gpu("v100"), "GKE has no GPU 'v100'; there are t4, l4"),
        (lambda: accelerators.tpu("v5e", "2x3"), "no TPU v5e 2x3; there are 1x1 (1 ct5lp-hightpu-1t), 2x2"),
        (lambda: accelerators.tpu("v5e", "2x2x2"), "no TPU v5e 2x2x2"),
        (lambda: accelerators.tpu("v5p", "2x4"), "no TPU v5p 2x4"),
        (lambda: accelerators.tpu("v5p", "4x6x4"), "no TPU v5p 4x6x4"),
        (lambda: accelerators.tpu("v5p", "16x24x28"), "up to 8960 chips"),
        (lambda: accelerators.tpu("v6e", "4x4", 8), "no TPU v6e 4x4 with 8 chips a machine"),
        (lambda: accelerators.tpu("v6e", "2x2", 1), "no TPU v6e 2x2 with 1 chips a machine"),
        (lambda: accelerators.tpu("v4", "2x2x1"), "no TPU 'v4'; there are v5e, v5p, v6e"),
        (lambda: accelerators.tpu("v5e", ""), "no TPU v5e ;"),
        (lambda: accelerators.tpu("v5e", "2x4", 0), "no TPU v5e 2x4 with 0 chips a machine"),
        (lambda: accelerators.tpu("v5p", "4x4x4x"), "no TPU v5p 4x4x4x; there are 2x2x1 (1 ct5p-hightpu-4t)"),
        (lambda: accelerators.tpu("v5p", "04x4x4"), "no TPU v5p 04x4x4"),
        (lambda: accelerators.tpu("v5p", "4x4x\u00b2"), "no TPU v5p 4x4x\u00b2"),
        (lambda: accelerators.profile("l4-x\u00b2"), "no accelerator profile 'l4-x\u00b2'; did you mean l4-x4?"),
        (lambda: accelerators.profile("l4-x0"), "no accelerator profile 'l4-x0'"),
        (lambda: accelerators.profile("a100-40bg"), "did you mean a100-40gb?"),
        (lambda: accelerators.profile("v5e-9x9"), "no TPU v5e 9x9"),
        (lambda: training_on("v5e-4x4"), "v5e-4x4 is 4 machines: TensorFlow trains on a slice of several"),
        (lambda: accelerators.pool("v6e-4x4"), "v6e-4x4 is 4 machines: TensorFlow trains on a slice of several"),
        (lambda: accelerators.pool(TWO_HOSTS), "h100 is 2 machines: a profile is one pod; use one of a single"),
    ],
)
def test_an_impossible_combination_is_refused_with_the_possible_ones(make: Any, says: str) -> None:
    with pytest.raises(UserError) as refused:
        make()

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"retries": -1}, "retries is -1"),
        ({"timeout": -5}, "timeout is -5"),
        ({"memory": "lots"}, "memory is 'lots'"),
        ({"shared_memory": "0"}, "shared_memory is '0'"),
    ],
)
def test_values_that_make_no_sense_are_refused_when_the_pipeline_is_compiled(
    arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=re.escape(says)):

        @dsl.pipeline(name="ours")
        def ours(examples: dsl.Input[dsl.Dataset], schema: dsl.Input[dsl.Artifact], label: str):  # type: ignore[no-untyped-def]
            accelerators.apply(train_model(examples=examples, schema=schema, label=label), "t4", **arguments)


def test_a_nested_pipeline_cannot_be_put_on_a_pool() -> None:
    nested = training_on("t4")

    with pytest.raises(UserError, match="only a component's task"):

        @dsl.pipeline(name="ours")
        def ours(examples: dsl.Input[dsl.Dataset], schema: dsl.Input[dsl.Artifact], label: str):  # type: ignore[no-untyped-def]
            accelerators.apply(nested(examples=examples, schema=schema, label=label), "l4")


OTHER = """
h100:
  resource: nvidia.com/gpu
  count: 2
  selectors: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}
  tolerations: [{key: dedicated, value: training, effect: NoExecute}, {key: nvidia.com/gpu}]
  cpu: "28"
  memory: 400Gi
  spot: {selectors: {pool: preemptible}}
"""


def test_another_clusters_labels_come_from_a_yaml_file(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(OTHER, encoding="utf-8")

    pool = accelerators.read(tmp_path / "ours.yaml")["h100"]

    assert pool == Profile(
        name="h100",
        resource="nvidia.com/gpu",
        count=2,
        machines=1,
        machine_type="",
        selectors=(("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3"),),
        tolerations=(Toleration("dedicated", "training", "NoExecute"), Toleration("nvidia.com/gpu")),
        spot_selectors=(("pool", "preemptible"),),
        cpu="28",
        memory="400Gi",
    )
    _, executors = documents(compiled(training_on(pool, spot=True)))
    assert executors["exec-train-model"]["nodeSelector"]["labels"] == dict(pool.selectors) | {"pool": "preemptible"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must hold profiles by name"),
        ("h100: [1]", "h100: is [1]; it must be a mapping"),
        ("h100: {resource: nvidia.com/gpu}", "h100: needs selectors"),
        ("h100: {resorce: nvidia.com/gpu}", "has no resorce; did you mean resource?"),
        ("h100: {resource: g, selectors: {a: b}, count: 0}", "count is 0; it must be a whole number"),
        ("h100: {resource: g, selectors: {a: true}}", "a is True; a label's value must be text"),
        ("h100: {resource: g, selectors: {a: b}, cpu: 4}", "cpu is 4; it must be text"),
        ("h100: {resource: g, selectors: {a: b}, tolerations: [{key: a, effect: Never}]}", "effect is 'Never'"),
        ("h100: {resource: g", "is not YAML"),
        ("h100: {count: 1, count: 8}", "the key 'count' occurs twice"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "ours.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(UserError) as refused:
        accelerators.read(tmp_path / "ours.yaml")

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_cluster_without_spot_machines_refuses_spot(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("h100: {resource: g, selectors: {a: b}}", encoding="utf-8")

    with pytest.raises(UserError, match="names no spot nodes"):
        training_on(accelerators.read(tmp_path / "ours.yaml")["h100"], spot=True)


def test_a_train_jobs_workers_get_the_same_pool_as_a_task_would() -> None:
    assert json.loads(accelerators.pool("l4-x4", spot=True)) == {
        "resources": {"cpu": "42", "memory": "163G", "nvidia.com/gpu": "4"},
        "selectors": {GPU: "nvidia-l4", SPOT: "true"},
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        ],
    }
