"""Another team, in another folder, with nothing but kfp: it loads our components by file and by URL, and compiles."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from mainspring import components
from mainspring.pipelines import environments

REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / "requirements.txt"

THEIRS = """
import sys
from kfp import compiler, components, dsl

try:
    import mainspring
except ImportError:
    pass
else:
    sys.exit("mainspring is here: this shows nothing")

ingest_examples = components.load_component_from_file("vendored/ingest_examples.yaml")
validate_examples = components.load_component_from_file("vendored/validate_examples.yaml")
train_on_l4 = components.load_component_from_file("vendored/l4.yaml")
evaluate_model = components.load_component_from_url(sys.argv[1] + "/evaluation/evaluate_model.yaml")


@dsl.pipeline(name="theirs")
def theirs(source: str, label: str):
    ingested = ingest_examples(source=source)
    validated = validate_examples(examples=ingested.outputs["examples"], label=label)
    trained = train_on_l4(
        examples=ingested.outputs["examples"], schema=validated.outputs["schema"], label=label
    )
    evaluate_model(examples=ingested.outputs["examples"], model=trained.outputs["model"])


compiler.Compiler().compile(theirs, "theirs.yaml")
"""

EVERY_ONE = """
import sys
from pathlib import Path
from kfp import components

for path in sorted(Path(sys.argv[1]).glob("*/*.yaml")):
    by_file = components.load_component_from_file(str(path))
    by_url = components.load_component_from_url(f"{sys.argv[2]}/{path.parent.name}/{path.name}")
    assert by_file.component_spec == by_url.component_spec, path
    print(by_file.name)
"""


@pytest.fixture(scope="module")
def their_python() -> Path:
    """The interpreter of an environment that holds kfp, as locked, and what kfp needs; built once for a lock."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = environments.base_folder() / f"other-team-{digest}"
    if not (folder / ".complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", "--constraint", LOCK, "kfp"]
        subprocess.run(install, check=True)
        (folder / ".complete").touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where our components can be had by URL: a web server on loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    serve = functools.partial(Quiet, directory=str(REPOSITORY / "components"))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(python: Path, code: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def theirs(their_python: Path, url: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Their compiled pipeline."""
    folder = tmp_path_factory.mktemp("their-repository")
    (folder / "vendored").mkdir()
    for file in ("ingestion/ingest_examples.yaml", "validation/validate_examples.yaml"):
        shutil.copy(environments.COMPONENTS / file, folder / "vendored")
    shutil.copy(environments.PIPELINES / "training" / "l4.yaml", folder / "vendored")
    run(their_python, THEIRS, folder, url)
    return list(yaml.safe_load_all((folder / "theirs.yaml").read_text()))


def test_their_pipeline_runs_our_images(theirs: list[dict[str, Any]]) -> None:
    images = {e["container"]["image"].partition(":")[0] for e in theirs[0]["deploymentSpec"]["executors"].values()}
    assert images == {f"mainspring/{folder}" for folder in ("ingestion", "validation", "training", "evaluation")}


def test_the_step_that_came_with_a_node_pool_keeps_it(theirs: list[dict[str, Any]]) -> None:
    [settings] = theirs[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert settings["nodeSelector"]["labels"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    accelerators = [
        executor["container"]["resources"]["accelerator"]["resourceType"]
        for executor in theirs[0]["deploymentSpec"]["executors"].values()
        if "resources" in executor["container"]
    ]
    assert accelerators == ["nvidia.com/gpu"]


def test_every_component_loads_by_file_and_by_url(their_python: Path, url: str, tmp_path: Path) -> None:
    loaded = run(their_python, EVERY_ONE, tmp_path, str(environments.COMPONENTS), url).split()
    assert {name.replace("-", "_") for name in loaded} == set(components.COMPONENTS)


def test_every_component_is_on_the_catalogue_page_with_its_inputs() -> None:
    page = (environments.COMPONENTS / "README.md").read_text(encoding="utf-8")
    for name, folder in components.COMPONENTS.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert f"{folder}/{name}.yaml" in section
        for key in getattr(components, name).component_spec.inputs or {}:
            assert f"| `{key}` |" in section, (name, key)
