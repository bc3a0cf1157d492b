"""A SavedModel that takes one tensor per raw feature, as a KServe model that speaks V1 and V2."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from mainspring.components.common.errors import UserError
from mainspring.components.serving import rows
from mainspring.components.serving.rows import Feature

SIGNATURE = "serving_default"

PREDICTION = "prediction"
"""The output that every model has; classifiers have `label` beside it."""

IN_LOOP_ROWS = 64
"""Requests of up to so many rows are answered in the event loop, without a hop to a thread that costs more than they;
larger ones go to a thread, and so hold up neither the small ones nor the readiness probe."""

V2_DATATYPES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64", "bool": "BOOL"}
"""V2's names of numpy's types; everything else is `BYTES`."""


class TabularModel(Model):
    """One version of a model, loaded and warmed up by `load`."""

    def __init__(self, name: str, version: int, path: Path) -> None:
        super().__init__(name)
        self.version = version
        self.path = path
        self.features: dict[str, Feature] = {}
        self._outputs: dict[str, tf.TensorSpec] = {}
        self._loaded: Any = None
        self._signature: Any = None

    def load(self) -> bool:
        """Loads the model and answers one dummy row, so that the first client does not pay for it.

        Raises:
            UserError: The folder holds no SavedModel that can be served.
        """
        try:
            self._loaded = tf.saved_model.load(str(self.path))
        except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
            raise UserError(f"{self.path}: cannot be loaded as a SavedModel: {error}") from error
        if SIGNATURE not in self._loaded.signatures:
            raise UserError(f"{self.path}: the SavedModel has no signature {SIGNATURE!r}; export it with one")
        self._signature = self._loaded.signatures[SIGNATURE]
        self.features = {
            name: _feature(name, spec) for name, spec in self._signature.structured_input_signature[1].items()
        }
        outputs = self._signature.structured_outputs
        self._outputs = {name: outputs[name] for name in sorted(outputs, key=lambda name: (name != PREDICTION, name))}
        if PREDICTION not in self._outputs or not self.features:
            raise UserError(f"{self.path}: signature {SIGNATURE!r} needs inputs, and an output named {PREDICTION!r}")
        try:
            self.run(rows.missing(self.features, rows=1))
        except tf.errors.OpError as error:
            raise UserError(f"{self.path}: the model fails on a row of missing values: {error.message}") from error
        self.ready = True
        return self.ready

    def run(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the model's outputs, each [rows] or [rows, classes], for arrays of shape [rows]."""
        tensors = {
            name: tf.constant(column, dtype=tf.string if column.dtype == object else None)
            for name, column in columns.items()
        }
        answers = self._signature(**tensors)
        return {name: answers[name].numpy() for name in self._outputs}

    async def predict(
        self,
        payload: dict[str, Any] | bytes | InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Answers a V1 request (`{"instances": [{feature: value}]}`) or a V2 request (a tensor per feature).

        Raises:
            InvalidInput: The client's mistake, in one line; KServe answers it with status 400.
        """
        if isinstance(payload, InferRequest):
            columns = _columns_of_tensors(payload, self.features)
        else:
            columns = rows.columns_of_instances(rows.parse(payload), self.features)
        count = len(next(iter(columns.values())))
        try:
            outputs = self.run(columns) if count <= IN_LOOP_ROWS else await asyncio.to_thread(self.run, columns)
        except tf.errors.InvalidArgumentError as error:
            raise InvalidInput(f"the model refuses these values: {' '.join(str(error.message).split())}") from error
        if isinstance(payload, InferRequest):
            return _tensors(self.name, self.version, payload, outputs)
        return {"predictions": _predictions(outputs)}

    def get_input_types(self) -> list[dict[str, Any]]:
        """Returns the V2 metadata of the model's inputs."""
        return [
            {"name": name, "datatype": V2_DATATYPES.get(feature.dtype.name, "BYTES"), "shape": [-1]}
            for name, feature in self.features.items()
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Returns the V2 metadata of the model's outputs."""
        return [
            {
                "name": name,
                "datatype": V2_DATATYPES.get(spec.dtype.name, "BYTES"),
                "shape": [-1 if size is None else size for size in spec.shape],
            }
            for name, spec in self._outputs.items()
        ]


def _feature(name: str, spec: tf.TensorSpec) -> Feature:
    if spec.shape.rank != 1:
        raise UserError(f"signature {SIGNATURE!r}: input {name!r} has shape {spec.shape}; expected one value a row")
    if spec.dtype == tf.string:
        return Feature(name, rows.TEXT, np.dtype(object))
    if spec.dtype.is_floating or spec.dtype.is_integer:
        kind = rows.NUMBER if spec.dtype.is_floating else rows.INTEGER
        return Feature(name, kind, np.dtype(spec.dtype.as_numpy_dtype))
    raise UserError(f"signature {SIGNATURE!r}: input {name!r} is {spec.dtype.name}; numbers and text can be served")


def _columns_of_tensors(request: InferRequest, features: dict[str, Feature]) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    for tensor in request.inputs:
        if tensor.name not in features:
            raise InvalidInput(f"unknown feature {tensor.name!r}; {rows.listing(features)}")
        if tensor.name in columns:
            raise InvalidInput(f"feature {tensor.name!r} is given twice")
        values = tensor.data if isinstance(tensor.data, list) else []
        if any(isinstance(value, list) for value in values):
            values = [value for part in values for value in (part if isinstance(part, list) else [part])]
        if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]) or tensor.shape[0] != len(values):
            raise InvalidInput(
                f"feature {tensor.name!r}: shape {list(tensor.shape)} and {len(values)} values; expected shape [rows]"
            )
        columns[tensor.name] = rows.array(features[tensor.name], values, "row")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise InvalidInput("the inputs must have the same number of rows, and at least one")
    absent = {name: feature for name, feature in features.items() if name not in columns}
    needed = next((name for name, feature in absent.items() if feature.kind == rows.INTEGER), None)
    if needed is not None:
        raise InvalidInput(f"feature {needed!r} is an integer and cannot be missing; send it")
    return columns | rows.missing(absent, lengths.pop())


def _predictions(outputs: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    columns = {name: _plain(values) for name, values in outputs.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(values: np.ndarray) -> list[Any]:
    if values.dtype == object:
        flat = [value.decode(errors="replace") for value in values.ravel()]
        return np.array(flat, dtype=object).reshape(values.shape).tolist()  # type: ignore[no-any-return]
    return values.tolist()  # type: ignore[no-any-return]


def _tensors(name: str, version: int, request: InferRequest, outputs: dict[str, np.ndarray]) -> InferResponse:
    tensors = [
        InferOutput(output, list(values.shape), V2_DATATYPES.get(values.dtype.name, "BYTES"), data=values)
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
