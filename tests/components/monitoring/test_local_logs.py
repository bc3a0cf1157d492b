"""What a local endpoint's log wrote, judged: the writer is the endpoint's own, in each of its forms."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from logs import exchange

from mainspring.components.common.payloads import payload_records
from mainspring.components.common.payloads.payload_log import PayloadLog, folder_store
from mainspring.components.common.payloads.payload_records import PayloadRecord
from mainspring.components.monitoring.monitor_endpoint import monitor_endpoint

REQUESTS = 600


def as_logged(written: dict[str, object], version: str) -> PayloadRecord:
    return PayloadRecord(
        body=base64.b64decode(str(written["bytes"])),
        req_type=str(written["reqType"]),
        id=str(written["id"]),
        occurred=time.time(),
        source_uri="http://flights",
        content_type="application/json",
        inference_service="flights",
        component="predictor",
        endpoint="default",
        annotations={payload_records.VERSION_ANNOTATION: version},
    )


@pytest.mark.parametrize("form", [payload_records.JSON, payload_records.CSV])
@pytest.mark.parametrize(("shift", "healthy"), [(0.0, True), (1000.0, False)])
def test_a_local_endpoints_log_is_judged_like_a_clusters(
    version: Path, tmp_path: Path, form: str, shift: float, healthy: bool
) -> None:
    log = PayloadLog(folder_store(tmp_path / "payloads", 1 << 30), form=form)
    for number in range(REQUESTS):
        log.add(*(as_logged(one, "1") for one in exchange(number, shift)))
    log.add(*(as_logged(one, "2") for one in exchange(REQUESTS)))
    log.close()
    assert list((tmp_path / "payloads").rglob(f"*.{form}"))

    soon = datetime.now(timezone.utc) + timedelta(minutes=1)
    verdict = monitor_endpoint(
        str(tmp_path / "payloads"),
        version_uri=str(version),
        journal=str(tmp_path / "journal"),
        monitoring=str(tmp_path / "out"),
        report=str(tmp_path / "report.html"),
        as_of=soon.isoformat(),
    )
    found = json.loads((tmp_path / "out" / "monitoring.json").read_text())["volume"]
    assert (verdict.requests, found["answered"], found["rows"]) == (REQUESTS + 1,) * 3
    assert found["other_versions"] == 1
    assert verdict.healthy == healthy, verdict.reasons
    assert healthy or "distance" in verdict.reasons
