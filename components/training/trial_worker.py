"""A process that trains one trial after another on rows that it prepared once; `trials` starts it and talks to it.

It reads JSON lines on standard input, first what to train on, then a trial's hyperparameters each, and answers on
standard output: a line an epoch, which the other side answers in turn with whether to stop, then the result. What
training itself prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported.

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.context import Folders
from mainspring.components.training.devices import Hardware, choose_hardware
from mainspring.components.training.modules import Module, load_module
from mainspring.components.training.preparing import Examples, Prepared, open_examples, prepare
from mainspring.components.training.publishing import best_of
from mainspring.components.training.trainer import Job, train
from mainspring.components.training.watching import Epoch


class TrialWorker:
    """Trains trials on the same examples."""

    def __init__(self, order: dict[str, Any], replies: TextIO, scratch: Path) -> None:
        """Opens the examples and checks all that every trial shares.

        Raises:
            UserError: They cannot be read or do not fit together.
        """
        self._replies, self._scratch = replies, scratch
        self._task = hyper.checked_task(order["task"])
        self._hardware: Hardware = choose_hardware(order["accelerator"])
        self._module: Module | None = load_module(order["module"]) if order["module"] else None
        schema = storage.as_path(order["schema"])
        self._examples: Examples = open_examples(
            storage.as_path(order["examples"]), schema, order["label"], order["exclude"]
        )
        self._prepared: tuple[object, Prepared] | None = None

    def run(self, trial: dict[str, Any]) -> dict[str, Any]:
        """Trains one trial and returns what came of it.

        Raises:
            UserError: The hyperparameters do not fit, or the loss is no number.
        """
        started = time.perf_counter()
        settings = hyper.checked(trial)
        stopped = False

        def told(epoch: Epoch) -> bool:
            nonlocal stopped
            self.say({"epoch": epoch.number, "eval_loss": epoch.eval_loss})
            answer = sys.stdin.readline()
            if not answer:
                raise SystemExit  # Nobody waits for this trial any more.
            stopped = json.loads(answer)["stop"]
            return stopped

        folders = Folders(self._scratch, self._scratch / "logs", "")
        job = Job(self._prepare(settings), settings, self._hardware, folders, self._module, told=told)
        _, epochs = train(job)
        best = best_of(epochs)
        return {
            "eval_loss": best.eval_loss,
            "metric": best.metric,
            "epochs": len(epochs),
            "seconds": time.perf_counter() - started,
            "stopped": stopped,
        }

    def say(self, reply: dict[str, Any]) -> None:
        """Answers with one line."""
        self._replies.write(json.dumps(reply) + "\n")
        self._replies.flush()

    def _prepare(self, settings: hyper.Hyperparameters) -> Prepared:
        # All that preparing depends on; the last trial's rows serve most trials.
        key = (settings.max_crosses, settings.seed, settings.batch_size)
        if self._prepared is None or self._prepared[0] != key:
            for old in self._scratch.glob("block-*"):
                old.unlink()
            self._prepared = (key, prepare(self._examples, self._task, settings, self._scratch))
        return self._prepared[1]


def main() -> None:
    """Works until standard input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)  # Training prints to standard output, which is the answers' from now on.
        with tempfile.TemporaryDirectory(prefix="mainspring-rows-") as scratch:
            try:
                worker = TrialWorker(json.loads(sys.stdin.readline()), replies, Path(scratch))
            except UserError as error:
                replies.write(json.dumps({"refused": str(error)}) + "\n")
                return
            worker.say({"ready": True})
            for line in sys.stdin:
                try:
                    worker.say(worker.run(json.loads(line)))
                except UserError as error:
                    worker.say({"error": str(error)})


if __name__ == "__main__":
    main()
