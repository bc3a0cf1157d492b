"""`mainspring models` on a bucket: a real server of Google's protocol, and what killed runs left there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mainspring.components.common import buckets
from mainspring.components.deployment.versions import retention
from mainspring.pipelines.commands.models import models
from tests.pipelines.conftest import Mainspring

TARGET = "local://flights"


def put_version(root: str, number: int) -> None:
    manifest = {"name": "flights", "version": number, "model_fingerprint": f"sha256:{number}", "baseline": ""}
    manifest |= {"examples_fingerprint": "", "replaces": number - 1, "created": f"2026-11-0{number}", "files": {}}
    buckets.create(f"{root}/flights/{number}/saved_model.pb", b"graph")
    buckets.create(f"{root}/flights/{number}/version.json", json.dumps(manifest).encode())


def test_old_versions_go_and_what_a_killed_run_left_goes_only_a_day_later(
    bucket: str, mainspring: Mainspring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{bucket}/models"
    for number in (1, 2, 4):
        put_version(root, number)
    buckets.create(f"{root}/flights/3/saved_model.pb", b"cut short")
    where = ("--models-root", root, "--root", tmp_path / "root")

    refused = mainspring("models", "prune", "--keep", "1", *where)
    assert (refused.returncode, "--target" in refused.stderr) == (1, True), "others may serve from there"

    def pruned(*more: str) -> list[tuple[int, str]]:
        done = mainspring("models", "prune", "--keep", "2", "--target", TARGET, "--json", *more, *where)
        assert done.returncode == 0, done.stderr
        return [(row["version"], row["created"]) for row in json.loads(done.stdout)]

    assert pruned("--dry-run") == pruned() == [(1, "2026-11-01")], "the unfinished one may still be coming"
    assert pruned() == []
    assert retention.unfinished(root, "flights", time.time() + retention.GRACE_SECONDS + 60) == [3]
    left = sorted(found.uri.removeprefix(f"{root}/flights/") for found in buckets.list_objects(root))
    assert left == ["2/saved_model.pb", "2/version.json", "3/saved_model.pb", "4/saved_model.pb", "4/version.json"]

    monkeypatch.setattr(retention, "GRACE_SECONDS", -60.0)
    monkeypatch.setenv("MAINSPRING_ROOT", str(tmp_path / "root"))
    arguments = ("prune", "--keep", "2", "--target", TARGET, "--json", *map(str, where))
    a_day_later = CliRunner().invoke(models, arguments, catch_exceptions=False)
    assert [(row["version"], row["created"]) for row in json.loads(a_day_later.stdout)] == [(3, "unfinished")]
    assert buckets.list_objects(f"{root}/flights/3") == []
    assert len(buckets.list_objects(root)) == 4
