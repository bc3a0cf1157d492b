"""Plays what Katib asks by gRPC, as a program: a search that draws at random, and a database of figures.

Run by an environment that has gRPC: `python katib_services.py PORT FOLDER`, with Katib's protocol on the path. What was
measured is a file for each trial in the folder: its losses, a JSON list.
"""

from __future__ import annotations

import json
import random
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import api_pb2 as words
import api_pb2_grpc as served
import grpc

FOLDER = Path(sys.argv[2])
DRAW = random.Random(7)


class Algorithm(served.SuggestionServicer):
    """Suggests values anywhere in the space."""

    def ValidateAlgorithmSettings(self, request: Any, context: Any) -> Any:
        return words.ValidateAlgorithmSettingsReply()

    def GetSuggestions(self, request: Any, context: Any) -> Any:
        answer = words.GetSuggestionsReply()
        for _ in range(request.current_request_number):
            given = answer.parameter_assignments.add()
            for space in request.experiment.spec.parameter_specs.parameters:
                value = _drawn(space.feasible_space, space.parameter_type == words.INT)
                given.assignments.add(name=space.name, value=value)
        return answer


class Database(served.DBManagerServicer):
    """Knows what collectors have reported."""

    def GetObservationLog(self, request: Any, context: Any) -> Any:
        answer = words.GetObservationLogReply()
        path = FOLDER / f"{request.trial_name}.json"
        for number, value in enumerate(json.loads(path.read_text()) if path.is_file() else []):
            log = answer.observation_log.metric_logs.add(time_stamp=f"2026-01-01T00:00:{number:02}Z")
            log.metric.name, log.metric.value = "eval_loss", str(value)
        return answer

    def DeleteObservationLog(self, request: Any, context: Any) -> Any:
        (FOLDER / f"{request.trial_name}.json").unlink(missing_ok=True)
        return words.DeleteObservationLogReply()


def _drawn(space: Any, whole: bool) -> str:
    if space.list:
        return str(DRAW.choice(list(space.list)))
    low, high = float(space.min), float(space.max)
    return str(DRAW.randint(int(low), int(high))) if whole else str(DRAW.uniform(low, high))


if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor(4))
    served.add_SuggestionServicer_to_server(Algorithm(), server)
    served.add_DBManagerServicer_to_server(Database(), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
