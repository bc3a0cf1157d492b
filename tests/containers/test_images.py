"""What the built images are: small, locked down, labelled, and without anything that a build needs."""

from __future__ import annotations

import json
import re
from typing import Any

import docker
import docker.errors
import pytest

from mainspring.components.common.images import VERSION
from mainspring.pipelines.images import inventory
from mainspring.pipelines.images.inventory import Image

IMAGES = inventory.images()
DEPLOYMENT_BYTES = 200e6
"""Unpacked; a third of it travels."""
NATIVE = (
    "import cryptography.x509, google_crc32c, google.protobuf.message, obstore.store, yaml; yaml.CSafeLoader"
    "; from kubernetes import client, config, dynamic; client.CustomObjectsApi"
)
BUILD_TOOLS = ("gcc", "g++", "cc", "make", "uv", "/tools", "/cache", "/root/.cache", "/wheels", "/source")
LOOK = """
import importlib.util, json, os, re, shutil, sys
from importlib.metadata import distributions
from pathlib import Path
tools = sys.argv[1:]
packages = Path(sys.prefix, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
sources = [path for path in packages.rglob("*.py")]
code = Path(importlib.util.find_spec("mainspring.components").submodule_search_locations[0])
print(json.dumps({
    "tools": [tool for tool in tools if (os.path.exists(tool) if tool[0] == "/" else shutil.which(tool))],
    "packages": sorted(re.sub("[-_.]+", "-", found.metadata["Name"]).lower() for found in distributions()),
    "without_bytecode": sum(not os.path.exists(importlib.util.cache_from_source(str(path)))
                            for path in [*sources, *code.rglob("*.py")]),
    "sources": len(sources),
    "standard_library": os.path.exists(json.__cached__),
    "writable": [str(path) for place in ("/opt", "/usr", "/etc") for path in Path(place).rglob("*")
                 if not path.is_symlink() and os.access(path, os.W_OK)][:3],
}))
"""


def attributes(engine: docker.DockerClient, image: Image) -> dict[str, Any]:
    return engine.images.get(image.name).attrs


@pytest.fixture(scope="module")
def look(engine: docker.DockerClient):
    """Looks around in a container of an image, once for each."""
    seen: dict[str, dict[str, Any]] = {}

    def inside(image: Image) -> dict[str, Any]:
        if image.name not in seen:
            output = engine.containers.run(
                image.name,
                ["python3", "-B", "-c", LOOK, *BUILD_TOOLS],
                read_only=True,
                remove=True,
                network_mode="none",
            )
            seen[image.name] = json.loads(output)
        return seen[image.name]

    return inside


def test_every_component_folder_with_an_environment_has_an_image() -> None:
    folders = {path.parent.name for path in inventory.sources().glob("components/*/requirements.txt")} - {"common"}
    assert {image.folder for image in IMAGES} == folders


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.title)
def test_an_image_says_what_it_was_made_of_and_runs_as_nobody(engine: docker.DockerClient, image: Image) -> None:
    found = attributes(engine, image)
    labels = found["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.title"] == f"mainspring/{image.folder}"
    assert len(labels["org.opencontainers.image.revision"].removesuffix("-dirty")) == 40
    assert labels["dev.mainspring.lock"] == image.lock_hash, "built from another lock; run `make images`"
    user, _, group = found["Config"]["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.title)
def test_an_image_holds_its_lock_compiled_and_nothing_that_a_build_needs(look, image: Image) -> None:
    seen = look(image)
    locked = {line.partition("==")[0].lower() for line in image.lock.read_text().splitlines() if "==" in line[:80]}
    assert seen["tools"] == []
    assert {"kfp", "mainspring"} <= set(seen["packages"])
    assert set(seen["packages"]) - {"kfp", "mainspring", "pip"} <= {name.strip() for name in locked}
    # A few files of other Python versions or of templates do not compile.
    assert seen["without_bytecode"] <= 0.01 * seen["sources"] + 5
    assert seen["standard_library"]
    assert seen["writable"] == []


def test_the_deployment_image_is_small_and_has_no_tensorflow(engine: docker.DockerClient, look) -> None:
    deployment = next(image for image in IMAGES if image.folder == "deployment")
    assert attributes(engine, deployment)["Size"] < DEPLOYMENT_BYTES
    assert not [name for name in look(deployment)["packages"] if name.startswith(("tensorflow", "tfx", "apache"))]
    # What was taken out of it is not missed.
    engine.containers.run(deployment.name, ["python3", "-c", NATIVE], read_only=True, remove=True, network_mode="none")


def test_the_serving_image_serves_by_itself_and_checks_its_health(engine: docker.DockerClient) -> None:
    serving = next(image for image in IMAGES if image.folder == "serving")
    found = attributes(engine, serving)
    assert {"8080/tcp", "8081/tcp"} <= set(found["Config"]["ExposedPorts"])
    assert found["Config"]["Cmd"][-1] == "mainspring.components.serving.mounted_model"
    container = engine.containers.create(serving.name, network_mode="none")
    try:
        check = container.attrs["Config"]["Healthcheck"]
    finally:
        container.remove()
    assert "mainspring.components.serving.health" in " ".join(check["Test"])
    with pytest.raises(
        docker.errors.ContainerError, match="/mnt/models: holds no SavedModel; mount a published version"
    ):
        engine.containers.run(serving.name, read_only=True, remove=True, network_mode="none")


def test_a_built_image_has_a_valid_bill_of_materials_with_its_lock_and_its_debian_packages(
    mainspring, tmp_path
) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    done = mainspring("images", "sbom", "deployment", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "deployment.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    named = {part["purl"] for part in json.loads(text)["components"]}
    lock = inventory.images(["deployment"])[0].lock.read_text()
    kubernetes = re.search(r"(?m)^kubernetes==([0-9.]+)", lock)
    assert kubernetes
    assert f"pkg:pypi/kubernetes@{kubernetes[1]}" in named
    assert any(name.startswith("pkg:deb/debian/libc6@") for name in named)
    licences = (tmp_path / "deployment.licences.tsv").read_text().splitlines()
    assert f"kubernetes\t{kubernetes[1]}\tApache License Version 2.0" in licences
    assert len(licences) == len(named)
