"""`mainspring schema` from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.pipelines.conftest import Mainspring


def test_a_mistake_is_one_line_and_writes_nothing(mainspring: Mainspring, tmp_path: Path) -> None:
    target = tmp_path / "schema.pbtxt"
    done = mainspring("schema", "infer", tmp_path / "none", "--label", "late", "-o", target)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"mainspring: error: {tmp_path / 'none'}: neither examples")
    assert not target.exists()
