"""BigQuery: `bq://project.dataset.table`, where placeholders may stand in the table's name, or `bq://project?SELECT …`.

A query runs in that project, and what is read is its result. Rows come by the Storage API, as Arrow. Credentials are
those of Google's libraries; `BIGQUERY_EMULATOR_HOST` and `BIGQUERY_STORAGE_EMULATOR_HOST` name an emulator's two ports.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.found_files import as_regex
from mainspring.components.ingestion.sources.file import BIGQUERY, File

STORAGE_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"

SECONDS = 60.0
"""How long one request is tried."""

STREAMS = 1
"""One stream gives a table's rows in an order of its own; several would give another one each time."""

_TABLE_NAME = re.compile(r"([a-z0-9:.-]+)\.([A-Za-z0-9_]+)\.([^.`]+)")
_QUERY = re.compile(r"([a-z0-9:.-]+)\?(.+)", re.DOTALL)


def list_tables(pattern: str) -> list[File]:
    """Returns the tables that a pattern names, or the one result of a query, by name.

    Args:
        pattern: With `*` for what may stand in a table's name.

    Raises:
        UserError: The pattern is not understood, or BigQuery does not answer it.
    """
    name = pattern.removeprefix(BIGQUERY)
    if query := _QUERY.fullmatch(name):
        return [_result(pattern, query[1], query[2])]
    table = _TABLE_NAME.fullmatch(name)
    if not table:
        raise UserError(f"{pattern}: say bq://project.dataset.table, or bq://project?SELECT …")
    project, dataset, wanted = table[1], table[2], table[3]
    with _errors_named(pattern):
        client = _client(project)
        if "*" not in wanted:
            return [_file(_table(client, f"{project}.{dataset}.{wanted}"))]
        matches = as_regex(wanted, {}).fullmatch
        listed = client.list_tables(f"{project}.{dataset}", retry=_retry())
        names = sorted(item.table_id for item in listed if matches(item.table_id))
        return [_file(_table(client, f"{project}.{dataset}.{one}")) for one in names]


def read(file: File, target: Path) -> None:
    """Writes a table's rows, or those of a query's result, to a Parquet file.

    Raises:
        UserError: They have changed since the file was found, or cannot be read.
    """
    name = file.uri.removeprefix(BIGQUERY)
    query = _QUERY.fullmatch(name)
    with _errors_named(file.uri):
        if query:
            job = _client(query[1]).query(query[2], retry=_retry())
            job.result(retry=_retry())
            table = job.destination
            found = list_tables(file.uri)[0]
        else:
            table = _table(_client(name.split(".")[0]), name)
            found = _file(table)
        if found.generation != file.generation:
            raise UserError(f"{file.uri}: has changed since it was found; run again")
        _copy(table.to_api_repr() if query else table.reference.to_api_repr(), target)


def _copy(table: dict[str, str], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from google.cloud.bigquery_storage_v1 import types

    session = types.ReadSession(
        table=f"projects/{table['projectId']}/datasets/{table['datasetId']}/tables/{table['tableId']}",
        data_format=types.DataFormat.ARROW,
    )
    client = _storage_client()
    parent = f"projects/{table['projectId']}"
    session = client.create_read_session(parent=parent, read_session=session, max_stream_count=STREAMS, timeout=SECONDS)
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    with pq.ParquetWriter(target, schema) as writer:
        for stream in session.streams:
            for answer in client.read_rows(stream.name):
                batch = pa.ipc.read_record_batch(
                    pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema
                )
                writer.write_batch(batch)


def _result(uri: str, project: str, sql: str) -> File:
    """Returns a query's result without computing it: its state is that of the tables it reads."""
    from google.cloud.bigquery import QueryJobConfig

    with _errors_named(uri):
        client = _client(project)
        job = client.query(sql, job_config=QueryJobConfig(dry_run=True, use_query_cache=False), retry=_retry())
        if job.statement_type != "SELECT":
            raise UserError(f"{uri}: must be one SELECT, not {job.statement_type}")
        read = [_table(client, table) for table in job.referenced_tables]
        state = sorted(f"{table.full_table_id}@{_generation(table)}" for table in read)
        digest = hashlib.sha256("\n".join(state).encode()).hexdigest()[:16]
        return File(uri, int(job.total_bytes_processed or 0), digest)


def _table(client: Any, name: Any) -> Any:
    return client.get_table(name, retry=_retry())


def _retry() -> Any:
    from google.cloud.bigquery import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(SECONDS)


def _file(table: Any) -> File:
    if table.table_type != "TABLE":
        name = f"{table.project}.{table.dataset_id}.{table.table_id}"
        what = table.table_type.lower().replace("_", " ")
        raise UserError(f"{BIGQUERY}{name}: is a {what}; read it by a query: bq://{table.project}?SELECT * FROM …")
    uri = f"{BIGQUERY}{table.project}.{table.dataset_id}.{table.table_id}"
    return File(uri, int(table.num_bytes or 0), _generation(table))


def _generation(table: Any) -> str:
    """Returns the moment of the table's last change, in milliseconds."""
    return str(round(table.modified.timestamp() * 1000)) if table.modified else str(table.etag)


def _client(project: str) -> Any:
    from google.cloud import bigquery

    if os.environ.get("BIGQUERY_EMULATOR_HOST"):
        from google.auth.credentials import AnonymousCredentials

        return bigquery.Client(project=project, credentials=AnonymousCredentials())
    return bigquery.Client(project=project)


def _storage_client() -> Any:
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient

    if address := os.environ.get(STORAGE_EMULATOR):
        import grpc
        from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

        return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=grpc.insecure_channel(address)))
    return BigQueryReadClient()


@contextlib.contextmanager
def _errors_named(uri: str) -> Iterator[None]:
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        raise UserError(f"{uri}: no credentials for BigQuery: {error}") from error
    except GoogleAPIError as error:
        raise UserError(f"{uri}: cannot be read: {getattr(error, 'message', '') or error}") from error
