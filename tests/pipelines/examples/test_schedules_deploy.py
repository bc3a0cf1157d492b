"""Each example schedule, run here over a month in which data arrive: it ends with versions deployed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mainspring.pipelines import environments
from mainspring.pipelines.cluster import schedule_file, uploads
from mainspring.pipelines.parameters import typed_arguments
from tests.pipelines.conftest import Mainspring, summary_of

EXAMPLE = environments.PIPELINES / "examples" / "schedules.yaml"
SCHEDULES = {schedule.name: schedule for schedule in schedule_file.read(EXAMPLE).schedules}
ARRIVE = {
    "flights-nightly": (("succeeded", 1, [1]), ("succeeded", 1, []), ("succeeded", 2, [2])),
    "flights-from-scratch": (("succeeded", 1, [1]),),
}
"""Of each schedule, its runs: how each ends, the version that then serves, and the files that arrived before it."""


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_simulated_month_of_an_example_schedule_ends_with_versions_deployed(
    name: str, mainspring: Mainspring, flights_sample: Path, root: Path, tmp_path: Path
) -> None:
    schedule, (arrived, target) = SCHEDULES[name], (tmp_path, f"local://{name}")
    spec = uploads.prepare(schedule.pipeline).spec
    given = typed_arguments(spec, schedule.parameters or {})
    # Only where things are is another: a folder for the bucket, a server here for the one of the cluster.
    source = Path(str(given["source"])).name
    here: dict[str, Any] = given | {"source": f"{arrived}/{source}", "target": target, "models_root": ""}
    (tmp_path / "here.json").write_text(json.dumps(here))
    for status, version, spans in ARRIVE[name]:
        for span in spans:
            shutil.copy(flights_sample / f"flights-2013-{span:02d}.parquet", arrived / source.format(SPAN=span))
        done = mainspring(
            *("run", schedule.pipeline, "--params", tmp_path / "here.json", "--root", root),
            *("--summary", tmp_path / "summary.json", *([] if schedule.caching else ["--no-cache"])),
        )
        summary = summary_of(tmp_path / "summary.json")
        assert summary["status"] == status, done.stdout + done.stderr
        served = json.loads(mainspring("endpoints", "list", "--json", "--root", root).stdout)
        assert {endpoint["name"]: endpoint["version"] for endpoint in served}[name] == version
