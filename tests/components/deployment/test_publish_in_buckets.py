from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bucket_servers
import pytest

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.components.deployment import models_root, publish, retention
from mainspring.components.deployment.publish import checksums


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
