"""V2's tensors (REST and gRPC) to one array per feature, and the model's outputs back to tensors."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse
from kserve.errors import InvalidInput

from mainspring.components.serving.model import rows
from mainspring.components.serving.model.rows import Feature
from mainspring.components.serving.model.signature import Outputs

DATATYPES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64", "bool": "BOOL"}
"""V2's names of numpy's types; everything else is `BYTES`."""


def described(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    """Returns the V2 metadata of a tensor."""
    return {"name": name, "datatype": DATATYPES.get(dtype, "BYTES"), "shape": shape}


def check_outputs(request: InferRequest, outputs: Collection[str]) -> None:
    """Refuses a request for outputs that the model does not have.

    Raises:
        InvalidInput: It names one.
    """
    unknown = next((one.name for one in request.request_outputs or () if one.name not in outputs), None)
    if unknown is not None:
        raise InvalidInput(f"unknown output {unknown!r}; the model gives {', '.join(outputs)}")


def columns(request: InferRequest, features: dict[str, Feature]) -> dict[str, np.ndarray]:
    """Returns an array per feature from a V2 request; a feature without a tensor is missing.

    Raises:
        InvalidInput: An unknown feature, a wrong shape, or a value of the wrong type.
    """
    found: dict[str, np.ndarray] = {}
    for tensor in request.inputs:
        if tensor.name not in features:
            raise InvalidInput(f"unknown feature {tensor.name!r}; {rows.listing(features)}")
        if tensor.name in found:
            raise InvalidInput(f"feature {tensor.name!r} is given twice")
        values = _values(tensor)
        if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]) or tensor.shape[0] != len(values):
            raise InvalidInput(
                f"feature {tensor.name!r}: shape {list(tensor.shape)} and {len(values)} values; expected shape [rows]"
            )
        rows.check_count(len(values))
        found[tensor.name] = rows.array(features[tensor.name], values, "row")
    lengths = {len(column) for column in found.values()}
    if len(lengths) != 1:
        raise InvalidInput("there must be at least one input, and all of the same number of rows")
    absent = {name: feature for name, feature in features.items() if name not in found}
    needed = next((name for name, feature in absent.items() if feature.kind == rows.INTEGER), None)
    if needed is not None:
        raise InvalidInput(f"feature {needed!r} is an integer and cannot be missing; send it")
    return found | rows.missing(absent, lengths.pop())


def response(name: str, version: int, request: InferRequest, outputs: Outputs) -> InferResponse:
    """Returns the V2 response; over gRPC, of the outputs that were asked for."""
    tensors = [
        _Output(output, list(values.shape), DATATYPES.get(values.dtype.name, "BYTES"), data=values)
        for output, values in outputs.items()
    ]
    return InferResponse(
        request.id or str(uuid.uuid4()),
        name,
        tensors,
        model_version=str(version),
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=request.request_outputs,
    )


class _Output(InferOutput):
    """A tensor in which a text may be missing: null in JSON, and empty where a tensor is bytes."""

    def set_data_from_numpy(self, output_tensor: np.ndarray, binary_data: bool = True) -> None:
        """Takes the values of an array, as bytes or to be written as JSON."""
        values = output_tensor.ravel().tolist() if output_tensor.dtype == object else []
        if None in values:
            present = [b"" if value is None else value for value in values]
            output_tensor = np.array(present, dtype=object).reshape(output_tensor.shape)
        super().set_data_from_numpy(output_tensor, binary_data)
        if None in values and not binary_data:
            texts = [value.decode() if isinstance(value, bytes) else value for value in values]
            self.data = texts  # type: ignore[has-type]


def _values(tensor: Any) -> list[Any]:
    if 0 in tensor.shape:
        return list(tensor.data or ())
    try:
        # Raw bytes (gRPC's `raw_input_contents`) come beside no data, gRPC's own fields as a container.
        values = list(tensor.data) if tensor.data else tensor.as_numpy().ravel().tolist()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"feature {tensor.name!r}: {error}") from error
    if any(isinstance(value, list) for value in values):
        return [value for part in values for value in (part if isinstance(part, list) else [part])]
    return values
