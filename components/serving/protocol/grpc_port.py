"""The Open Inference Protocol over gRPC: KServe's servicer, in which a malformed request is the client's mistake."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from grpc import aio
from kserve.errors import InvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import InferRequest, InferResponse
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.utils.utils import to_headers

from mainspring.components.common.errors import UserError
from mainspring.components.serving import metrics
from mainspring.components.serving.protocol.intake import LARGEST_BODY
from mainspring.components.serving.protocol.kserve_data import decoding


class StrictServicer(InferenceServicer):
    """KServe's servicer with counted predictions; models are not loaded or unloaded by requests."""

    def __init__(self, dataplane: DataPlane, repository: ModelRepositoryExtension, model_name: str) -> None:
        super().__init__(dataplane, repository)
        self._dataplane, self._model_name = dataplane, model_name

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        """Answers a prediction request."""
        began, code = time.perf_counter(), grpc.StatusCode.OK
        try:
            with decoding():
                self.validate_grpc_request(request)
                decoded = InferRequest.from_grpc(request)
            response, _ = await self._dataplane.infer(
                request=decoded, headers=to_headers(context), model_name=request.model_name
            )
            assert isinstance(response, InferResponse)
            return _asked_for(response, decoded).to_grpc()
        except Exception as error:
            code = grpc.StatusCode.INVALID_ARGUMENT if isinstance(error, InvalidInput) else grpc.StatusCode.INTERNAL
            raise
        finally:
            if request.model_name == self._model_name:
                metrics.count(self._model_name, metrics.GRPC, code.name, time.perf_counter() - began)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        """Refuses: deployments load models."""
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "models are loaded by deployments, not by requests")

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        """Refuses: whoever can ask for a prediction could take the model away."""
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "models are unloaded by deployments, not by requests")


def server(servicer: StrictServicer, port: int, host: str = "[::]") -> Callable[[], aio.Server]:
    """Returns what makes the server on a port, to be called in the event loop.

    Raises:
        UserError: From that call: the port cannot be listened on.
    """

    def make() -> aio.Server:
        options = [("grpc.max_receive_message_length", LARGEST_BODY), ("grpc.max_send_message_length", LARGEST_BODY)]
        options.append(("grpc.so_reuseport", 0))  # Else two servers could share a port unnoticed.
        made = aio.server(interceptors=(ExceptionToStatusInterceptor(),), options=options)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, made)
        try:
            made.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise UserError(f"grpc_port {port}: cannot be listened on; is another process there?") from error
        return made

    return make


def _asked_for(response: InferResponse, request: InferRequest) -> InferResponse:
    names = {output.name for output in request.request_outputs or ()}
    if names:
        response.outputs = [output for output in response.outputs if output.name in names]
    for output in response.outputs:
        # Left to it, KServe asks an array whether it is true, and fails on more than one row.
        output.set_data_from_numpy(output.data, binary_data=True)
    return response
