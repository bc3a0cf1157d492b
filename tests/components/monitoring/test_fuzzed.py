"""Mutated records and events: none ends the reading, and the counts add up to what was given.

A few thousand by default, a hundred thousand under `make test-all`; seeds are fixed.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import random
import re
import zlib

import pytest
from logs import as_go, exchange
from thorough import IS_WHOLE

from mainspring.components.common.payloads.payload_log import Limits, PayloadLog
from mainspring.components.monitoring import collector
from mainspring.components.monitoring.judging import window_volume
from mainspring.components.monitoring.logs import records, traffic
from mainspring.components.monitoring.logs.gathering import Gatherer, Served, Window
from mainspring.components.monitoring.logs.record_faults import Faults

RECORDS = 100_000 if IS_WHOLE else 3000
EVENTS = 100_000 if IS_WHOLE else 1000
PER_FILE = 500

ODD = (
    *(
        None,
        True,
        -1,
        0,
        1e308,
        2**70,
        "",
        "\x00",
        "é" * 9,
        "\ud800",
        "NaN",
        "id-1",
        "flights",
        [],
        {},
        [[]],
        {"a": [1]},
    ),
    *("org.kubeflow.serving.inference.request", "2026-13-45T99:00:00Z", "9999-12-31T23:59:59Z", '{"status": "500"}'),
)
BODIES = (
    b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"instances": [{}, 1, null]}', b'{"instances": [{"hour": 1e999}]}',
    b'{"instances": [{"hour": "\\ud800", "origin": "\\ud800"}]}', b'{"predictions": [NaN, [1], "x", {}]}',
    b'{"outputs": [{"name": "prediction", "data": [1], "shape": [0, 9]}]}', b'{"error": 5}', b"[" * 3000,
    b'{"inputs": [{"name": "a", "datatype": "FP32", "parameters": {"binary_data_size": 4}}]}\x00\x00\x80',
    b'{"predictions": [' + b"9" * 5000 + b"]}", gzip.compress(b"{}"), gzip.compress(b"{}")[:-3],
)  # fmt: skip
SERVED = Served({"hour": "integer", "distance": "number", "origin": "text"}, ["0", "1"])


def mutated(chance, number):
    """A record of an exchange with one to three of its fields or bytes changed."""
    import base64

    record = as_go(exchange(number // 2 % 400)[number % 2])
    for _ in range(chance.randrange(4)):
        kind, field = chance.randrange(5), chance.choice([*record, "statusCode", "metadata"])
        if kind == 0:
            record[field] = chance.choice(ODD)
        elif kind == 1:
            record.pop(field, None)
        elif kind == 2:
            record["bytes"] = base64.b64encode(chance.choice(BODIES)).decode()
        elif isinstance(text := record.get("bytes"), str) and text:
            place = chance.randrange(len(text))
            record["bytes"] = (
                text[:place] + chance.choice(("", "A", "=", "%", "é")) + text[place + chance.randrange(3) :]
            )
    return record


@pytest.mark.parametrize("seed", range(3))
def test_mutated_records_are_all_accounted_for(tmp_path, seed):
    chance = random.Random(seed)
    given, counted = RECORDS // 3, Faults()
    gatherer = Gatherer(tmp_path, SERVED, Window(-math.inf, math.inf), counted)
    for start in range(0, given, PER_FILE):
        path = tmp_path / f"{start}.json"
        made = [mutated(chance, start + place) for place in range(min(PER_FILE, given - start))]
        path.write_text(json.dumps(made) if start % 1000 else "\n".join(map(json.dumps, made)))
        for batch in records.read(path, path.name, 0.0, records.Reading(counted, "flights")):
            gatherer.add(batch)
    gatherer.close()
    with traffic.database(tmp_path) as connection:
        volume = traffic.pair(connection, tmp_path, SERVED, "1", gatherer._window, counted)
    accounts = window_volume.accounts(volume, counted, gatherer.outside)
    assert accounts.pop("given") == given == sum(accounts.values())
    assert volume.requests == volume.answered + volume.failed + volume.unclear
    assert volume.unusable <= volume.predicted
    assert min(accounts["requests"], accounts["set_aside"], volume.answered, volume.unusable, volume.unclear) > 0


def test_damaged_files_end_no_reading(tmp_path):
    chance, counted = random.Random(5), Faults()
    whole = json.dumps([as_go(one) for number in range(20) for one in exchange(number)]).encode()
    for number in range(RECORDS // 10):
        content, place = bytearray(whole), chance.randrange(len(whole))
        content[place : place + chance.randrange(40)] = chance.randbytes(chance.randrange(8))
        path = tmp_path / f"a{('.json', '.csv', '.parquet')[number % 3]}"
        path.write_bytes(content)
        for batch in records.read(path, path.name, 0.0, records.Reading(counted, "flights")):
            assert len(batch) <= 40
    assert counted.counts


def event(chance, number):
    """The headers and body of an event, one or two of them changed."""
    body = json.dumps({"instances": [{"hour": number % 24}]}).encode()
    headers = {
        "ce-id": str(number),
        "ce-type": f"org.kubeflow.serving.inference.{chance.choice(('request', 'response'))}",
        "ce-source": "http://here",
        "ce-specversion": "1.0",
        "content-type": "application/json",
    }
    for _ in range(chance.randrange(3)):
        kind = chance.randrange(5)
        if kind == 0:
            headers.pop(chance.choice(list(headers)), None)
        elif kind == 1:
            headers[chance.choice(list(headers))] = chance.choice(
                ("", "x", "%ff%fe", "é", "1e9", "application/cloudevents+json")
            )
        elif kind == 2:
            headers["content-encoding"] = chance.choice(("gzip", "deflate", "br", "identity", "gzip, gzip"))
            body = chance.choice((gzip.compress(body), gzip.compress(body)[:-4], zlib.compress(body), body))
        elif kind == 3:
            headers["content-type"] = chance.choice(
                ("application/cloudevents+json", "application/cloudevents-batch+json")
            )
            body = chance.choice(
                (body, b"[{}]", b"[1]", b'[{"id": 1, "type": []}]', b"[" * 3000, b'{"data_base64": "%"}')
            )
        else:
            body = chance.randbytes(chance.randrange(60))
    return headers, body


def test_mutated_events_are_written_or_refused_and_counted():
    from aiohttp.test_utils import TestClient, TestServer

    chance, log = random.Random(11), PayloadLog(lambda name, content: None, Limits(interval_seconds=0))

    async def post_all():
        statuses = []
        server = TestServer(collector.application(log, ""))
        await server.start_server(auto_decompress=False)
        async with TestClient(server) as client:
            for number in range(EVENTS):
                headers, body = event(chance, number)
                async with client.post("/", headers=headers, data=body, skip_auto_headers=["content-type"]) as answer:
                    statuses.append(answer.status)
            return statuses, await (await client.get(collector.METRICS)).text()

    statuses, text = asyncio.run(post_all())
    log.close()
    refused = sum(int(count) for count in re.findall(r"refused_total\{.*\} (\d+)", text))
    assert set(statuses) <= {200, 400, 413, 415, 503}
    assert refused == sum(status != 200 for status in statuses) > 0
    assert log.written + log.dropped >= sum(status == 200 for status in statuses) > 0
