"""KServe's own server around one model, with what it lacks here: our address, bounds, and 400 for bad requests."""

from __future__ import annotations

import asyncio
import logging
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve import ModelServer
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady
from kserve.model_server import app
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException

from mainspring.components.serving.model.tabular_model import TabularModel
from mainspring.components.serving.protocol import grpc_port as grpc_server
from mainspring.components.serving.protocol import idle_connections, intake, joined_writes
from mainspring.components.serving.protocol.kserve_data import StrictDataPlane

CLIENTS_MISTAKES = (InvalidInput, ModelNotFound, ModelNotReady)
"""KServe logs these with a traceback for every request; they are answered, not logged."""

GRACE_SECONDS = 30
"""How long requests in flight may take after SIGTERM."""

KEEP_ALIVE_SECONDS = 65
"""KServe's own: longer than a proxy keeps a connection idle, so that it is never the server that ends one in use."""


class _Rest(RESTServer):
    def _add_middlewares(self, app: FastAPI) -> None:
        """Adds none: KServe's would write each request's timing to a log that nobody keeps."""


class _Server(uvicorn.Server):
    """The HTTP server, and the gRPC server beside it for as long."""

    def __init__(self, config: uvicorn.Config, beside: Callable[[], grpc.aio.Server] | None) -> None:
        super().__init__(config)
        self._make = beside
        self._beside: grpc.aio.Server | None = None
        self._closing: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._make:
            self._beside = self._make()
            await self._beside.start()
        await super().startup(sockets)
        self._closing = asyncio.create_task(idle_connections.close(self.server_state.connections))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._closing:
            self._closing.cancel()
        if self._beside is None:
            await super().shutdown(sockets)
        else:
            await asyncio.gather(super().shutdown(sockets), self._beside.stop(GRACE_SECONDS))


@dataclass(frozen=True)
class Application:
    """A model's protocols, ready to be served."""

    config: uvicorn.Config
    servicer: grpc_server.StrictServicer


def application(model: TabularModel) -> Application:
    """Makes KServe's application around a loaded model, which takes half a second of processor time."""
    _quieten()
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    server = ModelServer(enable_grpc=False, enable_latency_logging=False)
    server.dataplane = StrictDataPlane(model_registry=server.registered_models)
    server.register_model(model)
    _Rest(
        "kserve.model_server:app", server.dataplane, server.model_repository_extension, server.http_port
    ).create_application()
    config = uvicorn.Config(
        intake.before(app, model),
        http=joined_writes.Protocol,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        server_header=False,
        proxy_headers=False,
    )
    config.load()
    return Application(
        config, grpc_server.StrictServicer(server.dataplane, server.model_repository_extension, model.name)
    )


def run(made: Application, listener: socket.socket, grpc_port: int | None = None) -> None:
    """Serves until SIGTERM, then lets the requests in flight finish.

    Args:
        made: A model's application.
        listener: A bound socket. Nobody can connect before this call: a server that accepts is ready.
        grpc_port: Where to serve gRPC as well; None: nowhere.

    Raises:
        UserError: The gRPC port cannot be listened on.
    """
    grpc = grpc_server.server(made.servicer, grpc_port) if grpc_port else None
    _Server(made.config, grpc).run(sockets=[listener])


async def _answer_validation_error(_: Request, error: Exception) -> JSONResponse:
    # The body may be a V2 request or bytes: the first complaint is about the form that people send.
    first: dict[str, Any] = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ()) if part not in ("body", "InferenceRequest"))
    detail = " ".join(f"{place}: {first.get('msg', error)}".removeprefix(": ").split())
    return JSONResponse(status_code=400, content={"error": f"the request is malformed: {detail}"})


async def _answer_http_error(_: Request, error: Exception) -> JSONResponse:
    # FastAPI's own says "detail" where every other answer says "error".
    status, said = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return JSONResponse(status_code=status, content={"error": said})


def _quieten() -> None:
    """Logs what the server does, nothing per request."""
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")  # KServe's own choice.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logger = logging.getLogger("kserve")
    # With a handler there, KServe leaves logging as it is.
    logger.addHandler(logging.StreamHandler())
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_ours)
    logging.getLogger("kserve.trace").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], CLIENTS_MISTAKES))
