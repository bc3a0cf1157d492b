"""Run by the serving environment's Python: what a model server makes of rows, by each protocol's own bytes.

Reads a list of questions (JSON: a model's folder, V1 instances) and writes the answers of V1, V2 as JSON, V2 in binary
tensors and gRPC beside each other: the rows' places, predictions and labels. No network lies between; requests are
encoded and decoded as clients and servers do. Binary tensors have no null: they ask for rows without missing numbers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest

from mainspring.components.serving.model.rows import TEXT
from mainspring.components.serving.model.tabular_model import TabularModel

NAME = "tables"


def main(questions: str, answers: str) -> None:
    found = [asyncio.run(_answers(question)) for question in json.loads(Path(questions).read_text(encoding="utf-8"))]
    Path(answers).write_text(json.dumps(found), encoding="utf-8")


async def _answers(question: dict[str, Any]) -> dict[str, list[Any]]:
    model = TabularModel(NAME, 1, Path(question["model"]))
    model.load()
    instances = question["instances"]
    body = json.dumps({"instances": instances}).encode()
    v1 = json.loads(await model.answer_rows(body))["predictions"]
    everyone = list(range(len(instances)))
    found = {"v1": [everyone, [row["prediction"] for row in v1], [row.get("label") for row in v1]]}
    numbers = [name for name, feature in model.features.items() if feature.kind != TEXT]
    complete = [place for place in everyone if None not in map(instances[place].get, numbers)]
    for way, binary, places in (("v2", False, everyone), ("v2_binary", True, complete), ("grpc", True, complete)):
        instances = [question["instances"][place] for place in places]
        request = InferRequest(NAME, [_tensor(model, name, instances, binary) for name in model.features])
        if way == "grpc":
            sent = ModelInferRequest.FromString(request.to_grpc().SerializeToString())
            received = InferRequest.from_grpc(sent)
        else:
            content, length = request.to_rest()
            received = (
                InferRequest.from_bytes(content, length, NAME)
                if length
                else InferRequest.from_bytes(json.dumps(content).encode(), len(json.dumps(content).encode()), NAME)
            )
        response = await model.predict(received)
        assert isinstance(response, InferResponse)
        outputs = {output.name: output.as_numpy() for output in response.outputs}
        labels = (
            [_text(value) for value in outputs["label"].tolist()] if "label" in outputs else [None] * len(instances)
        )
        found[way] = [places, outputs["prediction"].tolist(), labels]
    return found


def _tensor(model: TabularModel, name: str, instances: list[dict[str, Any]], binary: bool) -> InferInput:
    feature = model.features[name]
    values = [instance[name] for instance in instances]
    if feature.kind == TEXT:
        texts = np.array(["" if value is None else value for value in values], object)
        tensor = InferInput(name, [len(values)], "BYTES")
        tensor.set_data_from_numpy(texts, binary_data=binary)
        return tensor
    kind = {"float32": "FP32", "float64": "FP64"}[feature.dtype.name]
    numbers = np.array([np.nan if value is None else float(value) for value in values], feature.dtype)
    tensor = InferInput(name, [len(values)], kind)
    if binary:
        tensor.set_data_from_numpy(numbers, binary_data=True)
    else:
        tensor._data = [None if value is None else float(value) for value in values]
    return tensor


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    main(*sys.argv[1:])
