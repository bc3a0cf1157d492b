"""A line of arithmetic in TensorFlow's place: the processes of `components/serving`, by their orders and protocols.

For tests that start dozens: what is tried is who has the traffic, not what a model predicts. The front is the real one.
"""

from __future__ import annotations

import http.server
import json
import math
import os
import sys
import threading
from pathlib import Path
from typing import Any

from mainspring.components.common import storage


def prediction(row: dict[str, Any], path: str) -> float:
    """What the models of `conftest.replay_of` predict; one whose name begins with `unfit` predicts otherwise."""
    name = Path(path, "variables", "variables.data-00000-of-00001").read_text()
    logit = (row.get("distance") or 0.0) * 0.01 + (row.get("carrier") == "AA")
    return 1 / (1 + math.exp(-logit)) + 0.1 * name.startswith("unfit")


def own_predictions(path: str, answer: str, *_: str) -> None:
    row = {"distance": 1.0, "carrier": "AA"}
    storage.write_json(Path(answer), {"instances": [row], "predictions": [prediction(row, path)]})


def model_server() -> None:
    order = json.loads(sys.stdin.readline() or sys.exit(0))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # Headers and body are two writes: together they would wait 40 ms.

        def do_GET(self) -> None:
            self.send({"name": order["name"], "inputs": []})

        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
            self.send({"predictions": [{"prediction": prediction(row, order["path"])} for row in rows]})

        def send(self, content: Any) -> None:
            text = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    storage.write_json(Path(order["report"]), {"pid": os.getpid(), "port": server.server_port})
    if sys.stdin.readline().strip() == "keep":
        threading.Event().wait()


if __name__ == "__main__":
    _, module, *arguments = sys.argv[1:]
    {"own_predictions": own_predictions, "model_server": model_server}[module.rpartition(".")[2]](*arguments)
