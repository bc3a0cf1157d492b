from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bucket_servers
import pytest

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.versions import models_root, publish, retention
from mainspring.components.deployment.versions.publish import checksums


@pytest.fixture(scope="module", params=["gs", "s3"])
def scheme(request):
    with (bucket_servers.google if request.param == "gs" else bucket_servers.s3)():
        yield request.param


@pytest.fixture
def root(scheme) -> str:
    return f"{bucket_servers.new_bucket(scheme)}/models"


def put(root, model, judged, name="flights", **more):
    return publish.publish(model, *map(Path, judged("a")), root=root, name=name, **more)


def test_a_version_in_a_bucket_is_the_one_that_a_folder_would_hold(root, fake_model, judged, tmp_path):
    there = put(root, fake_model("a"), judged, baseline="gs://x/y/1", replaces=3)
    here = put(tmp_path / "models", fake_model("a"), judged, baseline="gs://x/y/1", replaces=3)
    assert (there.version, there.files, there.baseline, there.replaces) == (1, here.files, "gs://x/y/1", 3)
    buckets.download_tree(f"{root}/flights/1", tmp_path / "copy")
    assert {name: sum_ for name, sum_ in checksums(tmp_path / "copy").items() if name != "version.json"} == there.files
    assert models_root.version(f"{root}/flights/1") == there
    assert models_root.models(root) == ["flights"]
    assert put(root, fake_model("b"), judged).version == 2
    assert put(root, fake_model("b"), judged).version == 2, "the newest is not published again"
    assert [version.version for version in models_root.versions(root, "flights")] == [2, 1]


def test_publishers_at_once_get_versions_of_their_own_all_whole(root, fake_model, judged, tmp_path):
    models = [fake_model(f"m{number}") for number in range(5)]
    parts = tuple(map(Path, judged("a")))
    with ThreadPoolExecutor(5) as pool:
        made = list(pool.map(lambda model: publish.publish(model, *parts, root=root, name="flights"), models))
    assert len({version.version for version in made}) == 5
    for version in models_root.versions(root, "flights"):
        folder = tmp_path / str(version.version)
        buckets.download_tree(models_root.version_uri(root, "flights", version.version), folder)
        assert {name: sum_ for name, sum_ in checksums(folder).items() if name != "version.json"} == version.files
    assert len(models_root.versions(root, "flights")) == 5


def test_a_publisher_that_was_killed_leaves_no_version_and_no_obstacle(root, fake_model, judged, monkeypatch):
    for place in ("upload_all", "create"):
        with monkeypatch.context() as patch:

            def killed(*_, **__):
                raise KeyboardInterrupt

            patch.setattr(buckets, place, killed)
            with pytest.raises(KeyboardInterrupt):
                put(root, fake_model("a"), judged)
        assert models_root.versions(root, "flights") == []
    assert put(root, fake_model("a"), judged).version == 3


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from mainspring.components.common import buckets
from mainspring.components.deployment.versions import publish

written, last = itertools.count(1), int(sys.argv[1])

def killing(write):
    def counted(*given):
        write(*given)
        if next(written) == last:
            os.kill(os.getpid(), signal.SIGKILL)
    return counted

buckets.upload, buckets.create = killing(buckets.upload), killing(buckets.create)
publish.publish(*map(Path, sys.argv[2:5]), root=sys.argv[5], name="flights")
"""


def killed(after: int, *given: str) -> bool:
    """Whether a publisher was killed, by SIGKILL, once it had written so many objects; False: it ended before."""
    command = [sys.executable, "-c", KILLED, str(after), *given]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()[-500:]
    return ended.returncode == -signal.SIGKILL


def test_a_publisher_killed_at_whichever_object_leaves_a_whole_version_or_none(root, fake_model, judged, tmp_path):
    objects = len(put(f"{root}/aside", fake_model("a"), judged).files) + 1
    unfinished, whole, number = [], [], 0
    for after in range(1, objects + 2):
        number += 1
        was_killed = killed(after, str(fake_model(f"m{after}")), *judged("a"), root)
        assert was_killed == (after <= objects), "each object's turn comes, and then none is left"
        (whole if after >= objects else unfinished).append(number)
        if was_killed:
            # The same model again: the number that is taken stays taken, and what is whole is not made twice.
            version = put(root, fake_model(f"m{after}"), judged).version
            assert version == number + (after < objects)
            whole += [version] if after < objects else []
            number = version
        assert sorted(known.version for known in models_root.versions(root, "flights")) == whole
    assert retention.unfinished(root, "flights", time.time() + retention.GRACE_SECONDS + 60) == unfinished
    for version in models_root.versions(root, "flights"):
        copy = tmp_path / str(version.version)
        buckets.download_tree(models_root.version_uri(root, "flights", version.version), copy)
        assert {name: sum_ for name, sum_ in checksums(copy).items() if name != "version.json"} == version.files


def test_what_a_killed_publisher_left_goes_a_day_later_and_nothing_else_does(root, fake_model, judged, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(buckets, "create", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            put(root, fake_model("a"), judged)
    whole = put(root, fake_model("b"), judged)
    bucket_servers.make_marker(f"{root}/flights/7")
    assert buckets.list_objects(f"{root}/flights/1") != []
    assert retention.unfinished(root, "flights") == [], "it may still be coming"
    tomorrow = time.time() + retention.GRACE_SECONDS + 60
    assert retention.unfinished(root, "flights", tomorrow) == [1]
    models_root.remove(root, "flights", 1)
    assert retention.unfinished(root, "flights", tomorrow) == []
    assert buckets.list_objects(f"{root}/flights/1") == []
    assert [known.version for known in models_root.versions(root, "flights")] == [whole.version] == [2]


def test_folder_markers_are_no_versions_and_no_files(root, fake_model, judged):
    for marker in ("", "flights", "flights/7", "flights/7/variables"):
        bucket_servers.make_marker(f"{root}/{marker}".rstrip("/"))
    version = put(root, fake_model("a"), judged)
    bucket_servers.make_marker(f"{root}/flights/{version.version}")
    assert [known.version for known in models_root.versions(root, "flights")] == [version.version]


def test_a_bucket_that_is_not_there_is_one_line(scheme, fake_model, judged):
    with pytest.raises(UserError, match=f"{scheme}://no-such-bucket"):
        put(f"{scheme}://no-such-bucket/models", fake_model("a"), judged)


def test_retention_keeps_what_is_served_newest_and_compared_with(root, fake_model, judged):
    uris = {number: models_root.version_uri(root, "flights", number) for number in range(1, 8)}
    for number in range(1, 8):
        put(root, fake_model(f"m{number}"), judged, baseline=uris.get(number - 2, ""))
    going = retention.removable(root, "flights", 1, {uris[4]})
    assert [version.version for version in going] == [1, 3, 6], "4 is served and 2 its baseline; 7 newest and 5 its"
    for version in going:
        models_root.remove(root, "flights", version.version)
    assert [version.version for version in models_root.versions(root, "flights")] == [7, 5, 4, 2]
    assert buckets.list_objects(uris[3]) == []
    with pytest.raises(UserError, match="at least 1"):
        retention.removable(root, "flights", 0, set())


def test_a_marker_written_when_the_answer_was_lost_is_ours(root, fake_model, judged, monkeypatch):
    create = buckets.create

    def twice(uri, content):
        create(uri, content)
        return create(uri, content)

    monkeypatch.setattr(buckets, "create", twice)
    assert put(root, fake_model("a"), judged).version == 1
    content = json.loads(buckets.read(f"{root}/flights/1/version.json"))
    assert content["version"] == 1
