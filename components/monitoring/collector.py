"""Takes what KServe's logger sends over HTTP and keeps it as files.

Run as `python -m mainspring.components.monitoring.collector`. Point an InferenceService's `logger.url` at it;
`monitor_endpoint` reads what it writes. Settings are environment variables, which a ConfigMap can give:

- `MAINSPRING_SINK`: a folder, `gs://…` or `s3://…`; needed
- `MAINSPRING_PORT`: 8080 unless said
- `MAINSPRING_BATCH_RECORDS`, `MAINSPRING_BATCH_SECONDS`: a file is written when it has so many, or after so long
- `MAINSPRING_WAITING_MEGABYTES`: bodies that wait to be written; beyond that, events are answered with 503
- `MAINSPRING_KEEP_GIGABYTES`: what a folder may take; the oldest files go first (a bucket has its own lifecycle rules)

On SIGTERM it takes nothing more, writes what waits, and ends.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.payloads.payload_log import Limits, PayloadLog, Store, folder_store
from mainspring.components.monitoring import event_bodies
from mainspring.components.monitoring.event_bodies import Receiving, Refused
from mainspring.components.monitoring.logs import cloud_events
from mainspring.components.monitoring.logs.cloud_events import NotAnEvent

RETRY_SECONDS = 5

RETRY_DELAYS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts to write a batch."""

HEALTH, METRICS = "/healthz", "/metrics"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    sink: str
    port: int
    limits: Limits
    keep_bytes: int


def main() -> None:
    """Collects until SIGTERM.

    Raises:
        UserError: A setting is missing or makes no sense, the sink cannot be written, or the port is taken.
    """
    settings = settings_of(dict(os.environ))
    log = PayloadLog(patient(store_of(settings)), settings.limits)
    try:
        asyncio.run(_serve(settings, log))
    except OSError as error:
        raise UserError(f"MAINSPRING_PORT={settings.port}: cannot be listened on: {error.strerror}") from error
    finally:
        log.close(seconds=25.0)
        print(f"{log.written:,} records written, {log.dropped:,} lost", flush=True)


def settings_of(environment: dict[str, str]) -> Settings:
    """Reads the settings.

    Raises:
        UserError: One is missing or no number.
    """
    sink = environment.get("MAINSPRING_SINK", "")
    if not sink:
        raise UserError("MAINSPRING_SINK is not set: give a folder, gs://… or s3://… for the payload records")

    def number(name: str, default: float, least: float) -> float:
        try:
            found = float(environment.get(name) or default)
        except ValueError:
            found = math.nan
        if not least <= found < math.inf:
            raise UserError(f"{name}={environment[name]!r}: expected a number of {least:g} or more")
        return found

    limits = Limits(
        batch_records=int(number("MAINSPRING_BATCH_RECORDS", 500, 1)),
        interval_seconds=number("MAINSPRING_BATCH_SECONDS", 10, 0),
        waiting_bytes=int(number("MAINSPRING_WAITING_MEGABYTES", 128, 1) * (1 << 20)),
    )
    keep = int(number("MAINSPRING_KEEP_GIGABYTES", 50, 0.001) * (1 << 30))
    return Settings(sink, int(number("MAINSPRING_PORT", 8080, 0)), limits, keep)


def store_of(settings: Settings) -> Store:
    """Returns what publishes files in the sink, which is tried first.

    Raises:
        UserError: It cannot be written.
    """
    if buckets.is_bucket(settings.sink):
        buckets.list_names(settings.sink)

        def to_bucket(name: str, content: bytes) -> None:
            uri = buckets.join(settings.sink, name)
            try:
                buckets.create(uri, content)
            except buckets.AlreadyExists:  # The id of another batch's first record: both are kept.
                stem, _, ending = uri.rpartition(".")
                buckets.create(f"{stem}-{uuid.uuid4().hex[:8]}.{ending}", content)

        return to_bucket
    folder = storage.as_path(settings.sink).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"MAINSPRING_SINK={settings.sink!r}: cannot be written: {error.strerror}") from error
    return folder_store(Path(folder), settings.keep_bytes)


def patient(store: Store) -> Store:
    """Returns a store that tries again for a while before it gives a batch up."""

    def stored(name: str, content: bytes) -> None:
        for delay in RETRY_DELAYS:
            try:
                return store(name, content)
            except (OSError, UserError) as error:
                print(f"not written yet, tried again in {delay:g} s: {error}", file=sys.stderr, flush=True)
                time.sleep(delay)
        return store(name, content)

    return stored


def application(log: PayloadLog, sink: str) -> web.Application:
    """Returns the HTTP application: events are posted to any path."""
    refused = Counter(dict.fromkeys(event_bodies.REASONS, 0))
    receiving = Receiving()

    def refuse(status: int, reason: str, message: str) -> web.Response:
        refused[reason] += 1
        waits = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
        response = web.json_response({"error": message}, status=status, headers=waits)
        if status in (413, 503):  # The rest of the body is not read.
            response.force_close()
        return response

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            body = event_bodies.unpacked(await receiving.body(request.content), headers)
            records = cloud_events.events(headers, body, sink)
        except Refused as error:
            return refuse(error.status, error.reason, str(error))
        except NotAnEvent as error:
            return refuse(400, event_bodies.NOT_AN_EVENT, str(error))
        except (web.RequestPayloadError, ConnectionError) as error:
            return refuse(400, event_bodies.CUT_OFF, f"the body is cut off: {error}")
        if not log.add(*records):
            return refuse(503, event_bodies.TOO_MUCH_WAITS, "too much waits to be written")
        return web.Response(status=200)  # KServe's logger takes anything else for a failure.

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        lines = [
            "# TYPE mainspring_collector_records_written_total counter",
            f"mainspring_collector_records_written_total {log.written}",
            "# TYPE mainspring_collector_records_lost_total counter",
            f"mainspring_collector_records_lost_total {log.dropped}",
            "# TYPE mainspring_collector_events_refused_total counter",
            *(f'mainspring_collector_events_refused_total{{reason="{name}"}} {refused[name]}' for name in refused),
        ]
        return web.Response(text="\n".join(lines) + "\n")

    @web.middleware
    async def count_others(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:  # A path or method that takes no events.
            return refuse(error.status, event_bodies.OTHER, error.reason)

    app = web.Application(middlewares=[count_others])
    app.router.add_get(HEALTH, health)
    app.router.add_get(METRICS, metrics)
    app.router.add_post("/{path:.*}", take)
    return app


async def _serve(settings: Settings, log: PayloadLog) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    runner = web.AppRunner(application(log, settings.sink), access_log=None, shutdown_timeout=5, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", settings.port).start()
        print(f"collecting on port {runner.addresses[0][1]} into {settings.sink}", flush=True)
        await stopping.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
