from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from until import until

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import approvals
from mainspring.components.deployment.approve import approve

TARGET = "kserve://team/flights"


@pytest.fixture
def people(tmp_path):
    """Private key files and the approvers' YAML."""
    keys, public = {}, {}
    for name in ("ann", "bob", "eve"):
        key = Ed25519PrivateKey.generate()
        keys[name] = tmp_path / f"{name}.key"
        keys[name].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public[name] = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return keys, yaml.safe_dump({name: public[name] for name in ("ann", "bob")})


@pytest.fixture
def ask(tmp_path, fake_model, judged, people):
    def run(name="a", hours=1.0, approvers=None, evaluated=None):
        _, evaluation = judged(evaluated or name)
        return approve(
            model=str(fake_model(name)),
            evaluation=evaluation,
            target=TARGET,
            approvers=approvers or people[1],
            approvals_uri=str(tmp_path / "asked"),
            hours=hours,
            poll_seconds=0.05,
        )

    return run


def requested(tmp_path) -> str:
    until(lambda: list((tmp_path / "asked").glob("*/request.json")))
    return str(next((tmp_path / "asked").glob("*/request.json")).parent)


def answered(tmp_path, ask, answer):
    """Runs `approve` while somebody answers."""
    thread = threading.Thread(target=lambda: answer(requested(tmp_path)), daemon=True)
    thread.start()
    done = ask()  # Where it raises, nobody is asked, and the thread has nothing to answer.
    thread.join()
    return done


def test_an_approver_says_yes_or_no_and_a_repeated_run_does_not_ask_again(tmp_path, ask, people):
    def yes(folder):
        approvals.answer(folder, approvals.APPROVED, "ann", people[0]["ann"])

    done = answered(tmp_path, ask, yes)
    assert (done.approved, done.by) == (True, "ann")
    assert ask() == done
    with pytest.raises(UserError, match="was answered already"):
        approvals.answer(done.request, approvals.REJECTED, "bob", people[0]["bob"])


def test_a_no_is_a_no(tmp_path, ask, people):
    done = answered(tmp_path, ask, lambda folder: approvals.answer(folder, "rejected", "bob", people[0]["bob"]))
    assert (done.approved, done.by) == (False, "bob")


def test_silence_is_a_no(ask):
    done = ask(hours=1.0 / 3600)
    assert (done.approved, done.by) == (False, "")


@pytest.mark.parametrize(
    ("by", "key", "says"),
    [("eve", "eve", "none of the approvers"), ("ann", "eve", "is not signed by ann's key")],
)
def test_an_answer_of_nobody_who_may_is_refused_and_changes_nothing(tmp_path, ask, people, by, key, says):
    def first_one_who_may_not(folder):
        with pytest.raises(UserError, match=says):
            approvals.answer(folder, "rejected", by, people[0][key])
        assert sorted(path.name for path in Path(folder).iterdir()) == ["request.json"]
        approvals.answer(folder, "approved", "bob", people[0]["bob"])

    done = answered(tmp_path, ask, first_one_who_may_not)
    assert (done.approved, done.by) == (True, "bob")


def test_an_expired_request_is_asked_again_and_the_run_says_what_to_type(tmp_path, ask, people, capsys):
    late = ask(hours=1.0 / 3600)
    with pytest.raises(UserError, match=r"the request expired .*; run the pipeline again"):
        approvals.answer(late.request, "approved", "ann", people[0]["ann"])
    before = approvals.read_request(late.request)[0]

    def yes(folder):
        while approvals.read_request(folder)[0] == before:
            threading.Event().wait(0.02)
        approvals.answer(folder, "approved", "ann", people[0]["ann"])

    done = answered(tmp_path, ask, yes)
    assert (done.approved, done.request) == (True, late.request)
    assert f"type: mainspring approve {late.request} --by ann --key" in capsys.readouterr().out


def test_who_may_can_answer_over_an_answer_that_does_not_count(tmp_path, ask, people):
    def forged_first(folder):
        (Path(folder) / "answer.json").write_text('{"by": "eve"}')
        approvals.answer(folder, "approved", "ann", people[0]["ann"])

    assert answered(tmp_path, lambda: until_answered(ask), forged_first).by == "ann"


def until_answered(ask):
    try:
        return ask()
    except UserError:  # It read the forged answer in the moment that it was there.
        return until_answered(ask)


def test_an_answer_cannot_be_moved_to_another_model_or_changed(tmp_path, ask, people):
    done = answered(tmp_path, ask, lambda folder: approvals.answer(folder, "rejected", "ann", people[0]["ann"]))
    answer = Path(done.request) / "answer.json"
    content = json.loads(answer.read_text())
    answer.write_text(json.dumps(content | {"decision": "approved"}))
    with pytest.raises(UserError, match="is not signed by ann's key"):
        ask()
    answer.write_text(json.dumps(content))
    request = Path(done.request) / "request.json"
    request.write_text(request.read_text().replace('"expires": "2', '"expires": "3'))
    with pytest.raises(UserError, match="for another request"):
        ask()


def test_a_model_that_is_not_blessed_is_not_asked_for(tmp_path, fake_model, judged, people):
    _, evaluation = judged("a", blessed=False)
    with pytest.raises(UserError, match="not blessed"):
        approve(str(fake_model("a")), evaluation, TARGET, people[1], str(tmp_path / "asked"))
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("approvers", "says"),
    [("[]", "must be a mapping"), ("{}", "must be"), ("a: [", "is not YAML"), ("{ann: a, ann: b}", "occurs twice")],
)
def test_approvers_that_cannot_be_are_refused(ask, approvers, says):
    with pytest.raises(UserError, match=says):
        ask(approvers=approvers)


def test_a_key_of_another_kind_is_one_line(tmp_path, ask, people):
    done = ask(hours=1.0 / 3600)
    (tmp_path / "no.key").write_text("no key")
    with pytest.raises(UserError, match="not a private key in OpenSSH's format"):
        approvals.answer(done.request, "approved", "ann", tmp_path / "no.key")
