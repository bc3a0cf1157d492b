"""KServe's own server around one model, with what it lacks here: loopback only, and 400 for every bad request."""

from __future__ import annotations

import logging
import socket
import struct
import warnings
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve import Model, ModelServer
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.model_server import app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.rest.server import RESTServer

CLIENTS_MISTAKES = (InvalidInput, ModelNotFound, ModelNotReady)
"""KServe logs these with a traceback for every request; they are answered, not logged."""

GRACE_SECONDS = 30
"""How long requests in flight may take after SIGTERM."""

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, struct.error, InferenceError)
"""What KServe's decoding raises on requests that are JSON, but not of the protocol's form."""


class StrictDataPlane(DataPlane):
    """KServe's data plane, in which a malformed request is the client's mistake and not a server error."""

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        """Decodes a request's body.

        Raises:
            InvalidInput: The body is not of the protocol's form.
        """
        try:
            return super().decode(*args, **kwargs)
        except InvalidInput:
            raise
        except MALFORMED as error:
            raise InvalidInput(f"the request is malformed: {type(error).__name__}: {error}") from error


def run(model: Model, listener: socket.socket) -> None:
    """Serves a loaded model on a bound socket until SIGTERM, then lets the requests in flight finish."""
    _quieten()
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    server = ModelServer(http_port=listener.getsockname()[1], enable_grpc=False, enable_latency_logging=False)
    server.dataplane = StrictDataPlane(model_registry=server.registered_models)
    server.register_model(model)
    # `ModelServer.start` listens on every interface; its REST server alone takes a socket of ours.
    rest = RESTServer(
        "kserve.model_server:app",
        server.dataplane,
        server.model_repository_extension,
        server.http_port,
        grace_period=GRACE_SECONDS,
    )
    rest.run(sockets=[listener])


async def _answer_validation_error(_: Request, error: Exception) -> JSONResponse:
    # The body may be a V2 request or bytes: the first complaint is about the form that people send.
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ()) if part not in ("body", "InferenceRequest"))
    detail = " ".join(f"{place}: {first.get('msg', error)}".removeprefix(": ").split())
    return JSONResponse(status_code=400, content={"error": f"the request is malformed: {detail}"})


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
