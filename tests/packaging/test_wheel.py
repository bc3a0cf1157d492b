"""The wheel gives `mainspring.components` and `mainspring.pipelines`, with what they need beside their code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mainspring.components.common.images import VERSION

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel; built from a copy of the tracked files, as a release is."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in filter(None, tracked.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", built, source]
    subprocess.run(command, check=True, capture_output=True)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed, alone."""
    folder = tmp_path_factory.mktemp("site-packages")
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel], check=True)
    return folder


def test_nothing_generic_lands_in_site_packages(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.startswith(".")}
    assert names == {"mainspring", f"mainspring-{VERSION}.dist-info", "bin"}
    inside = {path.name for path in (installed / "mainspring").iterdir()}
    assert inside - {"__pycache__"} == {"__init__.py", "components", "pipelines"}  # Make has uv compile bytecode.


def test_every_module_template_lock_and_compiled_file_is_inside(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("components", "pipelines"):
        wanted = [
            path
            for pattern in ("*.py", "*.yaml", "*.ipynb", "requirements*.txt", "*.j2", "*.css")
            for path in (REPOSITORY / folder).rglob(pattern)
        ]
        assert len(wanted) > 5
        missing = [path for path in wanted if f"mainspring/{path.relative_to(REPOSITORY).as_posix()}" not in inside]
        assert not missing


def test_the_installed_package_imports_and_compiles(installed: Path, tmp_path: Path) -> None:
    code = (
        "import mainspring, mainspring.components as c, mainspring.pipelines.cli as cli;"
        "assert callable(mainspring.connect) and callable(mainspring.run);"
        "assert c.__file__.startswith(__import__('sys').argv[1]), c.__file__;"
        "c.train_model; __import__('sys').argv[1:] = ['compile', 'continuous_training', '-o', 'out.yaml']; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(installed)],
        env={"PYTHONPATH": str(installed), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.yaml").read_text() == (REPOSITORY / "pipelines" / "continuous_training.yaml").read_text()


def test_the_version_is_said_once_in_two_places(wheel: Path) -> None:
    assert wheel.name == f"mainspring-{VERSION}-py3-none-any.whl"
