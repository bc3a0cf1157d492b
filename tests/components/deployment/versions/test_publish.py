from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mainspring.components.common import published, storage
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.versions import models_root, publish


@pytest.fixture
def models(tmp_path) -> Path:
    return tmp_path / "models"


def put(models, model, judged, name="flights", **more):
    statistics, evaluation = judged("a")
    return publish.publish(model, Path(statistics), Path(evaluation), root=models, name=name, **more)


def test_versions_are_consecutive_integers_that_hold_model_statistics_and_evaluation(models, fake_model, judged):
    first = put(models, fake_model("a"), judged)
    second = put(models, fake_model("b"), judged, baseline=str(models / "flights/1"), replaces=1)
    assert (first.version, second.version) == (1, 2)
    assert (second.baseline, second.replaces, second.examples_fingerprint) == (
        str(models / "flights/1"),
        1,
        "sha256:examples-b",
    )
    folder = models / "flights" / "2"
    for file in ("statistics/train/FeatureStats.pb", "manifest.json"):
        assert (folder / file).is_file()
    assert [path.name for path in (folder / "model").iterdir()] == ["2"], "what KServe is given: this, and nothing else"
    for file in ("saved_model.pb", "variables/variables.index"):
        assert (folder / "model" / "2" / file).is_file()
    assert published.saved_model(folder) == folder / "model" / "2"
    assert json.loads((folder / "evaluation/evaluation.json").read_text())["blessed"] is True
    assert [version.version for version in models_root.versions(models, "flights")] == [2, 1]
    assert models_root.models(models) == ["flights"]


def test_every_file_but_the_versions_own_manifest_has_its_checksum(models, fake_model, judged):
    version = put(models, fake_model(), judged)
    folder = Path(models_root.version_uri(models, version.name, version.version))
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {*version.files, "version.json"}
    for name, checksum in version.files.items():
        assert checksum == f"sha256:{hashlib.sha256(files[name].read_bytes()).hexdigest()}"


def test_the_newest_model_is_not_published_again_but_an_older_one_is(models, fake_model, judged):
    assert put(models, fake_model("a"), judged).version == 1
    assert put(models, fake_model("a"), judged).version == 1
    assert put(models, fake_model("b"), judged).version == 2
    assert put(models, fake_model("a"), judged).version == 3


def test_tensorflow_serving_finds_only_integer_folders_that_are_whole(models, fake_model, judged):
    version = put(models, fake_model(), judged)
    within = models / "flights" / "1" / published.folder_of_model(version)
    folders = [path for path in within.iterdir() if path.is_dir()]
    assert [path.name for path in folders] == ["1"]
    assert (folders[0] / "saved_model.pb").is_file()


def test_a_version_of_the_earlier_layout_is_read_as_it_is(models, fake_model, judged):
    version = put(models, fake_model(), judged)
    assert published.folder_of_model(version) == "model"
    earlier = shutil.copytree(fake_model(), models / "flights" / "2")
    assert published.saved_model(earlier) == earlier
    assert published.folder_of_model(replace(version, files=publish.checksums(earlier))) == ""


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index", "manifest.json"])
@pytest.mark.parametrize("empty", [True, False])
def test_an_incomplete_model_is_refused_and_nothing_is_published(models, fake_model, judged, file, empty):
    model = fake_model()
    (model / file).write_bytes(b"") if empty else (model / file).unlink()
    with pytest.raises(UserError, match=f"{file} is missing or empty"):
        put(models, model, judged)
    assert not models.exists()


def test_a_failed_copy_leaves_nothing_and_the_next_publisher_gets_the_number(models, fake_model, judged, tmp_path):
    statistics, evaluation = judged("a")
    with pytest.raises(FileNotFoundError):
        publish.publish(fake_model(), tmp_path / "none", Path(evaluation), root=models, name="flights")
    assert [path.name for path in (models / "flights").iterdir()] == [".lock"]
    assert publish.publish(fake_model(), Path(statistics), Path(evaluation), root=models, name="flights").version == 1


def test_what_a_killed_publisher_left_is_no_version_and_goes(models, fake_model, judged):
    orphan = models / "flights" / ".1.abcdef"
    orphan.mkdir(parents=True)
    (orphan / "saved_model.pb").write_bytes(b"half")
    assert models_root.versions(models, "flights") == []
    assert put(models, fake_model(), judged).version == 1
    assert not orphan.exists()


def test_a_folder_without_the_last_written_manifest_is_no_version_but_keeps_its_number(models, fake_model, judged):
    (models / "flights" / "4").mkdir(parents=True)
    assert models_root.versions(models, "flights") == []
    assert put(models, fake_model(), judged).version == 5


def test_publishers_at_once_get_versions_of_their_own(models, fake_model, judged):
    code = (
        "import sys; from pathlib import Path; from mainspring.components.deployment.versions import publish\n"
        "model, statistics, evaluation, root = map(Path, sys.argv[1:])\n"
        "print(publish.publish(model, statistics, evaluation, root=root, name='flights').version)"
    )
    statistics, evaluation = judged("a")
    commands = [
        [sys.executable, "-c", code, str(fake_model(name)), statistics, evaluation, str(models)] for name in "abcdef"
    ]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    assert sorted(int(process.communicate()[0]) for process in started) == [1, 2, 3, 4, 5, 6]
    assert len({version.model_fingerprint for version in models_root.versions(models, "flights")}) == 6


def test_a_root_that_cannot_be_made_is_one_line(tmp_path, fake_model, judged):
    (tmp_path / "file").write_text("")
    with pytest.raises((UserError, NotADirectoryError)):
        put(tmp_path / "file" / "models", fake_model(), judged)


def test_the_default_root_is_in_the_local_root(root, tmp_path):
    assert models_root.models_folder("") == str(storage.local_root() / "models") == str(root / "models")
    assert models_root.models_folder(f"file://{tmp_path}") == str(tmp_path)
    assert models_root.models_folder("gs://bucket/models/") == "gs://bucket/models"
    with pytest.raises(UserError, match="names no bucket"):
        models_root.models_folder("gs://")
    with pytest.raises(UserError, match="not supported"):
        models_root.models_folder("hdfs://models")
    assert Path(models_root.models_folder("relative")).is_absolute()
