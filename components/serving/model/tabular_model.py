"""A SavedModel that takes one tensor per raw feature, as a KServe model that speaks V1 and V2."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from kserve import InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from mainspring.components.common import manifests
from mainspring.components.common.errors import UserError
from mainspring.components.serving import metrics
from mainspring.components.serving.model import as_written, rows, signature, tensors
from mainspring.components.serving.model import tensorflow_parts as tf
from mainspring.components.serving.model.batching import Batcher, Limits
from mainspring.components.serving.model.rows import Feature
from mainspring.components.serving.model.signature import PREDICTION, Outputs, Signature

LABEL = "label"
"""The output that names a classifier's class; of multi-label models there is none."""

TRUTHS = {"true": True, "false": False}

QUICK_SECONDS = 0.005
"""A model that answers one row within this runs in the event loop, where a thread's hop would cost more than it."""

MOST_IN_PLACE = 64
"""Rows that a quick model answers in the thread that asks; more are worth TensorFlow's other threads."""

WARM_UP_BATCHES = (1, 2, 64)
"""Rows of the calls that come before the first client's: TensorFlow's kernels choose their ways by size."""


class TabularModel(Model):
    """One version of a model, loaded and warmed up by `load`."""

    def __init__(self, name: str, version: int, path: Path, limits: Limits | None = None) -> None:
        super().__init__(name)
        self.version = version
        self.path = path
        self._limits = limits or Limits()
        self._signature: Signature | None = None
        self._has_boolean_label = False
        self._batcher: Batcher | None = None

    @property
    def signature(self) -> Signature:
        """The loaded signature."""
        assert self._signature is not None, "load() comes first"
        return self._signature

    @property
    def features(self) -> dict[str, Feature]:
        """The signature's inputs by name."""
        return self.signature.features

    def load(self) -> bool:
        """Loads the model and asks it for its sample rows, so that the first client does not pay for that.

        Raises:
            UserError: The folder holds no SavedModel that can be served, or it fails on its own sample request.
        """
        self._signature = as_written.of(signature.load(self.path), self.path)
        self._has_boolean_label = as_written.has_boolean_label(self.path)
        try:
            took = [self._warmed_up(rows.missing(self.features, size)) for size in WARM_UP_BATCHES]
            sample = self._sample()
            took += [self._warmed_up(sample)] if sample else []
        except tf.errors.OpError as error:
            said = " ".join(str(error.message).split())
            raise UserError(f"{self.path}: the model fails on rows that it must take: {said}") from error
        quick = min(took) < QUICK_SECONDS
        self._batcher = Batcher(
            lambda matrices: self.signature.run(matrices, in_place=quick and matrices[0].shape[1] <= MOST_IN_PLACE),
            self._limits,
            in_loop=quick,
            seen=metrics.BATCH_ROWS.labels(self.name).observe,
        )
        metrics.MODEL.labels(self.name, str(self.version)).set(1)
        self.ready = True
        return self.ready

    async def answer_rows(self, body: Any) -> bytes:
        """Answers a V1 request, `{"instances": [{feature: value}]}` as bytes or parsed, with JSON.

        Raises:
            InvalidInput: The client's mistake, in one line.
        """
        outputs = await self._answer(rows.columns_of_instances(rows.parse(body), self.features))
        return orjson.dumps({"predictions": self._predictions(outputs)})

    async def predict(
        self,
        payload: dict[str, Any] | bytes | InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Answers a V2 request (a tensor per feature), or a V1 request that came as a CloudEvent.

        Raises:
            InvalidInput: The client's mistake, in one line; KServe answers it with status 400.
        """
        if isinstance(payload, InferRequest):
            tensors.check_outputs(payload, self.signature.outputs)
            outputs = await self._answer(tensors.columns(payload, self.features))
            return tensors.response(self.name, self.version, payload, outputs)
        outputs = await self._answer(rows.columns_of_instances(rows.parse(payload), self.features))
        return {"predictions": self._predictions(outputs)}

    def get_input_types(self) -> list[dict[str, Any]]:
        """Returns the V2 metadata of the model's inputs."""
        return [tensors.described(name, feature.dtype.name, [-1]) for name, feature in self.features.items()]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Returns the V2 metadata of the model's outputs."""
        return [
            tensors.described(name, spec.dtype.name, [-1 if size is None else size for size in spec.shape])
            for name, spec in self.signature.outputs.items()
        ]

    async def _answer(self, columns: dict[str, np.ndarray]) -> Outputs:
        assert self._batcher is not None, "load() comes first"
        try:
            return _without_labels_of_none(await self._batcher.answer(self.signature.packed(columns)))
        except tf.errors.InvalidArgumentError as error:
            raise InvalidInput(f"the model refuses these values: {' '.join(str(error.message).split())}") from error

    def _predictions(self, outputs: Outputs) -> list[dict[str, Any]]:
        columns = {name: _plain(values) for name, values in outputs.items()}
        if self._has_boolean_label and LABEL in columns:
            columns[LABEL] = [TRUTHS.get(name, name) for name in columns[LABEL]]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _warmed_up(self, columns: dict[str, np.ndarray]) -> float:
        """Returns the seconds of the last of a few calls."""
        matrices = self.signature.packed(columns)
        began = 0.0
        for _ in range(3):
            began = time.perf_counter()
            self.signature.run(matrices, in_place=True)
        return time.perf_counter() - began

    def _sample(self) -> dict[str, np.ndarray] | None:
        file = self.path / manifests.REQUEST_FILE
        if not file.is_file():
            return None
        try:
            return rows.columns_of_instances(json.loads(file.read_bytes()), self.features)
        except ValueError as error:  # InvalidInput is one as well.
            raise UserError(f"{file}: the model's own sample request cannot be answered: {error}") from error


def _without_labels_of_none(outputs: Outputs) -> Outputs:
    """Returns the answers without the labels of rows whose probabilities are none: a class there would be a guess."""
    if LABEL not in outputs:
        return outputs
    values, labels = outputs[PREDICTION], outputs[LABEL]
    good = (values >= 0) & (values <= 1)  # False of NaN as well.
    if good.all():
        return outputs
    usable = good.reshape(len(values), -1).all(axis=1)
    named = labels.astype(object)
    named[~usable] = None
    return outputs | {LABEL: named}


def _plain(values: np.ndarray) -> list[Any]:
    if values.dtype == object:
        flat = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values.ravel()]
        return np.array(flat, dtype=object).reshape(values.shape).tolist()  # type: ignore[no-any-return]
    return values.tolist()  # type: ignore[no-any-return]
