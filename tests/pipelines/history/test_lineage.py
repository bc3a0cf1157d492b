"""`mainspring explain` and `where-used`: from what is served back to its files, and from a file to what it made."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.components.deployment import approvals
from mainspring.pipelines.commands.history.explain import explain
from mainspring.pipelines.commands.history.where_used import where_used
from mainspring.pipelines.commands.models import models
from mainspring.pipelines.history import records
from tests.pipelines.history.past import TARGET, examples, put_run, put_version


def asked(command: Any, *arguments: object) -> Any:
    done = CliRunner().invoke(command, [*map(str, arguments), "--json"], catch_exceptions=False)
    return json.loads(done.stdout)


def put_endpoint(root: Path, *served: int, withdrawn: tuple[int, ...] = ()) -> None:
    """Records an endpoint that was stopped, and has served these versions."""
    folder = root / "endpoints" / "flights"
    folder.mkdir(parents=True)
    history = [
        {"version": number, "uri": str(root / "models" / "flights" / str(number)), "since": f"2026-11-0{number}T04:00"}
        for number in served
    ]
    gone = [
        {"version": number, "uri": str(root / "models" / "flights" / str(number)), "at": "2026-11-09", "reason": "slow"}
        for number in withdrawn
    ]
    gone = [each | {"fingerprint": "", "recipe": ""} for each in gone]
    state = {"name": "flights", "port": 20001, "front": None, "servers": [], "history": history, "withdrawn": gone}
    state |= {"version": served[-1], "uri": history[-1]["uri"], "since": history[-1]["since"]}
    (folder / "endpoint.json").write_text(json.dumps(state))


def approve(root: Path, key_file: Path) -> None:
    """Approves version 2 as Ann."""
    key = Ed25519PrivateKey.generate()
    pem, ssh = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
    key_file.write_bytes(key.private_bytes(pem, ssh, serialization.NoEncryption()))
    form = serialization.PublicFormat.OpenSSH
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()
    folder = str(root / "approvals" / hashlib.sha256(f"{TARGET}\nsha256:m2".encode()).hexdigest()[:16])
    now = datetime.now(timezone.utc).replace(microsecond=0)
    expires = (now + timedelta(hours=1)).isoformat()
    approvals.ask(folder, approvals.Request(TARGET, "sha256:m2", "", "", now.isoformat(), expires, {"ann": public}))
    approvals.answer(folder, approvals.APPROVED, "ann", key_file)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root, data = tmp_path / "root", tmp_path / "data"
    data.mkdir()
    for number in (1, 2, 3):
        (data / f"{number}.csv").write_text(f"x\n{number}\n")
    monkeypatch.setenv("MAINSPRING_ROOT", str(root))
    for number in (1, 2):
        run = put_run(root, number, spans=f"{number}", auc=0.7 + number / 100, version=number)
        put_version(root / "models", number, run.run, 0.7 + number / 100, (data / "1.csv", data / f"{number}.csv"))
    put_endpoint(root, 1, 2)
    approve(root, tmp_path / "key")
    return root


def test_a_target_is_explained_from_the_files_to_the_approval(root: Path) -> None:
    told = asked(explain, TARGET, "--root", root)
    assert (told["version"], told["run"]) == (2, "continuous-training-20261102-030000-000000")
    assert Path(told["run_page"]).is_file()
    assert [Path(file["uri"]).name for file in told["files"]] == ["1.csv", "2.csv"]
    assert told["files"][1]["sha256"] == hashlib.sha256(b"x\n2\n").hexdigest()
    assert (told["metric"], told["challenger"], told["champion"]) == ("auc", 0.72, 0.7)
    assert told["judged_against"] == str(root / "models" / "flights" / "1")
    assert told["approved_by"].startswith("ann at ")
    assert told["served"] == [{"target": TARGET, "since": "2026-11-02T04:00", "until": ""}]
    before = asked(explain, TARGET, "--version", 1, "--root", root)
    assert (before["approved_by"], before["judged_against"]) == ("", "")
    assert before["served"] == [{"target": TARGET, "since": "2026-11-01T04:00", "until": "2026-11-02T04:00"}]


@pytest.mark.parametrize("what", ["models/flights", "models/flights/2"])
def test_a_folder_is_explained_as_its_target_is(root: Path, what: str) -> None:
    assert asked(explain, root / what, "--root", root) == asked(explain, TARGET, "--root", root)
    for nothing in ("local://other", root / "models", root / "models" / "flights" / "9"):
        with pytest.raises(UserError):
            CliRunner().invoke(explain, [str(nothing), "--root", str(root)], catch_exceptions=False)


def test_a_version_of_an_older_mainspring_says_what_was_not_recorded(root: Path) -> None:
    (root / "models" / "flights" / "2" / "examples.json").unlink()
    shown = CliRunner().invoke(explain, [TARGET, "--root", str(root)], catch_exceptions=False).stdout
    assert "not recorded: it was published by an older Mainspring" in shown


def test_a_file_leads_to_what_was_made_from_it_under_any_name(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    used = asked(where_used, data / "1.csv", "--root", root)
    assert [(use["version"], use["match"]) for use in used] == [
        (1, "same content"),
        (1, "same content"),
        (2, "same content"),
    ]
    assert [use["state"] for use in used][1:] == ["", f"served at {TARGET}"]
    (tmp_path / "copy.csv").write_text("x\n2\n")
    [copied] = asked(where_used, tmp_path / "copy.csv", "--root", root)
    assert (copied["version"], copied["match"]) == (2, "same content, other name")
    (data / "2.csv").write_text("x\n22\n")
    [rewritten] = asked(where_used, data / "2.csv", "--root", root)
    assert rewritten["match"] == "rewritten since"
    (data / "2.csv").unlink()
    assert [use["match"] for use in asked(where_used, data / "2.csv", "--root", root)] == ["same name"]
    assert {use["match"] for use in asked(where_used, data, "--root", root)} == {"in the folder"}
    assert asked(where_used, data / "3.csv", "--root", root) == []


def test_a_run_that_published_nothing_is_found_by_its_file(root: Path, tmp_path: Path) -> None:
    refused = put_run(root, 3, "refused", spans="3")
    kept = tmp_path / "examples"
    kept.mkdir()
    (kept / "manifest.json").write_text(json.dumps(examples(tmp_path / "data" / "3.csv", spans=["3"])))
    refused.tasks.append({"name": "ingest-examples", "outputs": {"examples": {"uri": str(kept)}}})
    records.write(root / "runs" / refused.run, refused)
    [use] = asked(where_used, tmp_path / "data" / "3.csv", "--root", root)
    assert (use["run"], use["version"], use["state"]) == (refused.run, 0, "refused")


def test_versions_are_listed_with_what_serves_them_their_metric_and_their_data(root: Path) -> None:
    (root / "endpoints" / "flights" / "endpoint.json").unlink()
    (root / "endpoints" / "flights").rmdir()
    put_endpoint(root, 2, 1, withdrawn=(2,))
    listed = asked(models, "list", "--root", root)
    assert [(row["state"], row["metric"], row["data"]) for row in listed] == [
        (f"served at {TARGET}", "auc 0.71", "1"),
        (f"withdrawn from {TARGET}: slow", "auc 0.72", "2"),
    ]
    assert asked(explain, TARGET, "--version", 2, "--root", root)["withdrawn"] == "2026-11-09: slow"


def test_versions_in_a_bucket_are_explained_and_found(root: Path, bucket: str) -> None:
    made = examples(spans=["2"])
    made["source"]["files"] = [{"uri": f"{bucket}/raw/2.csv", "bytes": 4, "generation": "1"}]
    buckets.upload_tree(root / "models" / "flights" / "1", f"{bucket}/models/flights/1")
    [there] = [found for found in buckets.list_objects(f"{bucket}/models") if found.uri.endswith("examples.json")]
    buckets.replace(there, json.dumps(made).encode())
    told = asked(explain, f"{bucket}/models/flights", "--root", root)
    assert (told["uri"], told["files"]) == (f"{bucket}/models/flights/1", made["source"]["files"])
    [gone] = asked(where_used, f"{bucket}/raw/2.csv", "--models-root", f"{bucket}/models", "--root", root)
    assert gone["match"] == "same name"
    buckets.create(f"{bucket}/raw/2.csv", b"x\n22\n")
    [other] = asked(where_used, f"{bucket}/raw/2.csv", "--models-root", f"{bucket}/models", "--root", root)
    assert (other["version"], other["match"]) == (1, "rewritten since")
