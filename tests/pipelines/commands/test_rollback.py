"""`mainspring rollback`: wrong calls are one line; what it does is tested where the endpoints are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.conftest import Mainspring


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("flights",), 1, "expected local://<name>"),
        (("local://flights",), 1, "no such endpoint"),
        (("local://flights", "--to", "0"), 2, "--to"),
        ((), 2, "TARGET"),
    ],
)
def test_a_wrong_rollback_is_one_line(
    mainspring: Mainspring, tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    done = mainspring("rollback", *arguments, "--root", tmp_path / "root")
    assert done.returncode == status
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
