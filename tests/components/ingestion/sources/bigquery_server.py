"""A server on loopback that speaks as much of BigQuery's two APIs as a reader of tables and queries asks for.

It stands for Google's: REST (tables and jobs) over HTTP, the Storage API's reads over gRPC, with its own protos.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

READ = "google.cloud.bigquery.storage.v1.BigQueryRead"
ROWS_PER_ANSWER = 40


class Server:
    """Tables by `dataset.table`; a query of a table's name gives that table."""

    def __init__(self) -> None:
        self.tables: dict[str, pa.Table] = {}
        self.modified: dict[str, int] = {}
        self.kinds: dict[str, str] = {}
        self.status = 200
        self.queried: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(READ, self._reads()),))
        self.port, self.storage_port = self._http.server_port, self._grpc.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> Server:
        threading.Thread(target=self._http.serve_forever, args=[0.01], daemon=True).start()
        self._grpc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._grpc.stop(None)

    def put(self, name: str, table: pa.Table, kind: str = "TABLE") -> None:
        self.tables[name], self.kinds[name] = table, kind
        self.modified[name] = self.modified.get(name, 1_700_000_000_000) + 1000

    def _reads(self) -> dict[str, Any]:
        def create(request: Any, _: Any) -> Any:
            table = request.read_session.table.split("/")
            name = f"{table[3]}.{table[5]}"
            schema = self.tables[name].schema.serialize().to_pybytes()
            streams = [types.ReadStream(name=f"streams/{name}")]
            return types.ReadSession(arrow_schema={"serialized_schema": schema}, streams=streams)

        def read(request: Any, _: Any) -> Iterator[Any]:
            table = self.tables[request.read_stream.removeprefix("streams/")].combine_chunks()
            for batch in table.to_batches(ROWS_PER_ANSWER):
                record = {"serialized_record_batch": batch.serialize().to_pybytes()}
                yield types.ReadRowsResponse(arrow_record_batch=record, row_count=batch.num_rows)

        def serialized(kind: Any) -> Any:
            return lambda message: kind.serialize(message)

        return {
            "CreateReadSession": grpc.unary_unary_rpc_method_handler(
                create, types.CreateReadSessionRequest.deserialize, serialized(types.ReadSession)
            ),
            "ReadRows": grpc.unary_stream_rpc_method_handler(
                read, types.ReadRowsRequest.deserialize, serialized(types.ReadRowsResponse)
            ),
        }

    def _resource(self, project: str, name: str) -> dict[str, Any]:
        dataset, _, table = name.partition(".")
        return {
            "id": f"{project}:{name}",
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
            "type": self.kinds[name],
            "numBytes": str(self.tables[name].nbytes),
            "lastModifiedTime": str(self.modified[name]),
        }

    def _job(self, project: str, body: dict[str, Any]) -> dict[str, Any]:
        sql = body["configuration"]["query"]["query"]
        if not body["configuration"].get("dryRun"):
            self.queried.append(sql)
        name = sql.split("FROM")[-1].strip(" `")
        reference = self._resource(project, name)["tableReference"]
        body["configuration"]["query"]["destinationTable"] = reference
        statistics = {"statementType": sql.split()[0], "referencedTables": [reference], "totalBytesProcessed": "10"}
        return body | {"status": {"state": "DONE"}, "statistics": {"query": statistics, "totalBytesProcessed": "10"}}

    def _answer(self, path: str, body: dict[str, Any] | None) -> dict[str, Any] | None:
        parts = path.partition("?")[0].split("/projects/")[1].split("/")
        if body is not None:
            return self._job(parts[0], body)
        if parts[1] == "queries":
            return {
                "jobComplete": True,
                "totalRows": "0",
                "schema": {"fields": []},
                "jobReference": {"jobId": parts[2]},
            }
        if len(parts) == 4:
            names = [name for name in self.tables if name.startswith(f"{parts[2]}.")]
            return {"tables": [self._resource(parts[0], name) for name in names]}
        name = f"{parts[2]}.{parts[4]}"
        return self._resource(parts[0], name) if name in self.tables else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(None)

            def do_POST(self) -> None:
                self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _reply(self, body: dict[str, Any] | None) -> None:
                content = server._answer(self.path, body) if server.status == 200 else None
                status = server.status if server.status != 200 else 200 if content is not None else 404
                text = json.dumps(content or {"error": {"message": f"nothing at {self.path}", "code": status}}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
