"""Building and publishing: what goes wrong is one line, and what is published is named by digest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import docker
import pytest
import yaml

from mainspring.components.common.errors import UserError
from mainspring.pipelines.images import building, digests, inventory
from mainspring.pipelines.images.builders import builder

from .conftest import PIPELINES

FOR_WINDOWS = "pywin32==311 --hash=sha256:0502d1facf1fed4839a9a51ccbcc63d952cf318f78ffc00a7e78528ac27d7a2b\n"
OPTIONS = [f"--option={option}" for option in os.environ.get("MAINSPRING_BUILD_OPTIONS", "").split()]


def build_on(mainspring, dockerfile: str, folder: Path, title: str = "deployment") -> subprocess.CompletedProcess[str]:
    """Makes a small base, and builds an image on it."""
    chosen = builder()
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / "tool").write_text("#!/bin/sh\necho Python 3.9.2\nexit 1\n")
    (folder / "tool").chmod(0o755)
    name = f"localhost/mainspring-base-{folder.name}:1".lower()
    verb = ["buildah", "bud"] if chosen.name == "buildah" else [chosen.name, "build"]
    subprocess.run([*verb, "--tag", name, str(folder)], check=True, capture_output=True)
    return mainspring("images", "build", title, "--base", name, *OPTIONS, cwd=folder)


def a_base(engine: docker.DockerClient) -> str:
    """Returns an image to make others of: the deployment image, which has all that a base has."""
    found = engine.images.get("mainspring/deployment:0.1.0").tags[0]
    return f"FROM {found}\nUSER 0\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"


def error(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the one line of the error."""
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("image 1 of 1")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_base_without_the_needed_python_is_one_line(engine, mainspring, tmp_path: Path) -> None:
    done = build_on(mainspring, a_base(engine) + "COPY tool /usr/local/bin/python3\n", tmp_path)
    assert "image deployment: the base image has Python 3.9.2, and 3.10 to 3.13 is needed; name another" in error(done)
    assert (tmp_path / ".mainspring" / "images" / "deployment.log").is_file()


def test_a_base_without_python_is_one_line(engine, mainspring, tmp_path: Path) -> None:
    done = build_on(mainspring, a_base(engine) + "RUN rm -f /usr/bin/python3 /usr/local/bin/python3\n", tmp_path)
    assert "the base image has no python3; name one with Python 3.10 to 3.13 by BASE=" in error(done)


def test_a_lock_that_does_not_fit_the_platform_is_one_line(tmp_path: Path) -> None:
    checkout, image = tmp_path / "checkout", inventory.images(["ingestion"])[0]
    listed = subprocess.run(["git", "ls-files"], cwd=inventory.sources(), capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if not name.startswith("tests/"):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(inventory.sources() / name, checkout / name)
    lock = checkout / "components" / "ingestion" / "requirements.txt"
    lock.write_text(FOR_WINDOWS)
    arguments = {"BASE": os.environ["MAINSPRING_BASE"]} if "MAINSPRING_BASE" in os.environ else {}
    chosen = builder(options=os.environ.get("MAINSPRING_BUILD_OPTIONS", "").split())
    with pytest.raises(
        UserError, match=r"^image ingestion: the lock does not fit this platform \(.+, Python 3.+\); see"
    ):
        chosen.build(image, checkout, "localhost/mainspring-misfit:1", arguments, tmp_path / "log")
    assert "pywin32" in (tmp_path / "log").read_text()


def test_a_base_that_is_nowhere_is_one_line(mainspring, tmp_path: Path) -> None:
    done = mainspring("images", "build", "deployment", "--base", "127.0.0.1:1/no/base:1", *OPTIONS, cwd=tmp_path)
    assert "image deployment: " in error(done)
    assert "127.0.0.1:1" in error(done)


def test_unknown_images_and_builders_are_one_line(mainspring, tmp_path: Path) -> None:
    assert "no image 'trainning'; there are deployment" in error(mainspring("images", "build", "trainning"))
    assert "--push was given without --registry HOST/PATH: give both" in error(mainspring("images", "build", "--push"))
    assert "--registry was given without --push" in error(mainspring("images", "build", "--registry", "r/team"))
    assert "no builder 'kaniko'; there are docker, podman, buildah" in error(
        mainspring("images", "build", "--builder", "kaniko")
    )


def test_no_builder_is_one_line(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"none of Docker, Podman and Buildah works here; install one"):
        builder()


def test_a_registry_that_refuses_is_one_line_and_no_digests_are_written(mainspring, tmp_path: Path) -> None:
    lock = tmp_path / "images.lock.json"
    done = mainspring("images", "push", "deployment", "--registry", "127.0.0.1:1/team", "--insecure", "--digests", lock)
    assert done.returncode == 1
    assert re.match(
        r"mainspring: error: 127.0.0.1:1/team/mainspring/deployment:0.1.0: the registry does not take it \(.*\); is it",
        done.stderr.splitlines()[-1],
    )
    assert not lock.exists()


def test_a_published_image_is_compiled_in_by_digest_and_runs_from_the_registry(
    mainspring, engine: docker.DockerClient, registry: str, tmp_path: Path
) -> None:
    lock, compiled = tmp_path / "images.lock.json", tmp_path / "doubles.yaml"
    pushed = mainspring(
        *("images", "build", "deployment", "--base", os.environ.get("MAINSPRING_BASE", ""), *OPTIONS),
        *("--push", "--registry", f"{registry}/team", "--insecure", "--digests", lock),
    )
    assert pushed.returncode == 0, pushed.stderr
    done = mainspring("compile", "small_pipelines:doubles", "--digests", lock, "-o", compiled, cwd=PIPELINES)
    assert done.returncode == 0, done.stderr
    spec = yaml.safe_load(compiled.read_text())
    images = {found["container"]["image"] for found in spec["deploymentSpec"]["executors"].values()}
    (image,) = images
    assert re.fullmatch(rf"{re.escape(registry)}/team/mainspring/deployment@sha256:[0-9a-f]{{64}}", image)
    assert json.loads(lock.read_text())["images"] == {"mainspring/deployment:0.1.0": image}
    root = tmp_path / "root"
    ran = mainspring("run", compiled, "-p", "number=3", "--engine", "docker", "--root", root, cwd=PIPELINES)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Output 12" in ran.stdout


def test_an_image_that_was_not_pushed_is_one_line(mainspring, tmp_path: Path) -> None:
    lock = tmp_path / "images.lock.json"
    digests.write(lock, {"mainspring/training:0.1.0": f"registry/mainspring/training@sha256:{'0' * 64}"})
    done = mainspring("compile", "small_pipelines:doubles", "--digests", lock, cwd=PIPELINES)
    assert error(done).endswith("has no digest of mainspring/deployment:0.1.0; push it with `mainspring images push`")
    lock.write_text('{"images": {"mainspring/training:0.1.0": "latest"}}')
    done = mainspring("compile", "small_pipelines:doubles", "--digests", lock, cwd=PIPELINES)
    assert error(done).endswith("is no lock of images; `mainspring images push` writes one")


@pytest.mark.parametrize("registry", ["", "http://registry.example.com/team", "registry.example.com/my team"])
def test_what_is_no_registry_is_one_line_before_anything_is_pushed(mainspring, tmp_path: Path, registry: str) -> None:
    done = mainspring("images", "push", "deployment", "--registry", registry, "--digests", tmp_path / "lock.json")
    assert error(done).endswith("give a host and a path, such as registry.example.com/team")
    assert "pushing" not in done.stderr


def test_an_image_that_was_not_built_is_one_line_before_anything_is_pushed(tmp_path: Path) -> None:
    image = replace(inventory.images(["deployment"])[0], folder="rollback")
    said: list[str] = []
    with pytest.raises(UserError, match=r"^rollback: not built here; `mainspring images build rollback` does that$"):
        building.push([image], builder(), "127.0.0.1:1/team", tmp_path / "lock.json", said.append)
    assert not said
