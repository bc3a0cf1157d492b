"""The serving image's own command: what KServe starts in a cluster."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
import saved_models

from mainspring.components.common.errors import UserError
from mainspring.components.serving import health
from mainspring.components.serving.mounted_model import version_in


def test_a_mounted_version_answers_v1_and_v2_and_is_healthy(ask, launch, until, tmp_path: Path) -> None:
    saved_models.save(saved_models.Binary(0.25), tmp_path / "models" / "7")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert not health.is_live(port)
    server = launch(
        "mounted_model", "--model_name=flights", f"--model_dir={tmp_path / 'models'}", f"--http_port={port}"
    )
    until(lambda: health.is_live(port) or server.poll() is not None)
    assert server.poll() is None
    assert ask(port, "GET", "/v2/models/flights/ready").status == 200
    answer = ask(port, "POST", "/v1/models/flights:predict", {"instances": [{"distance": 100.0, "carrier": "AA"}]})
    assert 0 <= answer.content["predictions"][0]["prediction"] <= 1
    server.terminate()
    assert server.wait() in (0, -signal.SIGTERM)  # The server raises the signal again once it has finished.


def test_the_newest_of_several_versions_is_served(tmp_path: Path) -> None:
    for name in ("2", "10", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert version_in(tmp_path) == (10, tmp_path / "10")
    assert version_in(tmp_path / "2") == (2, tmp_path / "2")


def test_a_mount_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no SavedModel; mount a published version there"):
        version_in(tmp_path)
