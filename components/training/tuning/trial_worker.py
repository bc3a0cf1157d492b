"""A process that trains one trial after another on rows that it prepared once; `trials` starts it and talks to it.

It reads JSON lines on standard input, first what to train on, then a trial's hyperparameters each, and answers on
standard output: a line an epoch, which the other side answers in turn with whether to stop, then the result. What
training itself prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported.

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.trainer import Job, train
from mainspring.components.training.hardware.devices import Hardware, choose_hardware
from mainspring.components.training.model.context import Folders
from mainspring.components.training.model.team_module import Module, load_module
from mainspring.components.training.resuming.interruption import Interrupted
from mainspring.components.training.rows.preparing import Examples, Prepared, open_examples, prepare
from mainspring.components.training.rows.spill_folder import scratch_folder

Say = Callable[[Mapping[str, Any]], None]


class TrialWorker:
    """Trains trials on the same examples."""

    def __init__(self, order: Mapping[str, Any], scratch: Path) -> None:
        """Opens the examples and checks all that every trial shares.

        Raises:
            UserError: They cannot be read or do not fit together.
        """
        self._scratch = scratch
        self._task = hyper.checked_task(order.get("task", "auto"))
        self._hardware: Hardware = choose_hardware(order.get("accelerator", ""))
        module = order.get("module", "")
        self._module: Module | None = load_module(module) if module else None
        examples, schema = (buckets.local_copy(order[name]) for name in ("examples", "schema"))
        self._examples: Examples = open_examples(examples, schema, order["label"], order.get("exclude", ()))
        self._prepared: tuple[object, Prepared] | None = None

    def run(self, trial: Mapping[str, Any], told: Callable[[Epoch], bool]) -> dict[str, Any]:
        """Trains one trial and returns what came of it.

        Args:
            trial: Hyperparameters by name.
            told: Is called after each epoch; the trial stops where it returns True.

        Raises:
            UserError: The hyperparameters do not fit, or the loss is no number.
        """
        started = time.perf_counter()
        settings = hyper.checked(trial)
        folders = Folders(self._scratch, self._scratch / "logs", "")
        job = Job(self._prepare(settings), settings, self._hardware, folders, self._module, told=told)
        trained = train(job)
        kept, epochs = trained.kept, len(trained.epochs)
        seconds = time.perf_counter() - started
        return {"eval_loss": kept.eval_loss, "metric": kept.metric, "epochs": epochs, "seconds": seconds}

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

        def say(reply: Mapping[str, Any]) -> None:
            replies.write(json.dumps(reply) + "\n")
            replies.flush()

        with scratch_folder() as scratch:
            try:
                worker = TrialWorker(json.loads(sys.stdin.readline()), scratch)
            except UserError as error:
                say({"refused": str(error)})
                return
            say({"ready": True})
            for line in sys.stdin:
                try:
                    say(_answered(worker, json.loads(line), say))
                except UserError as error:
                    say({"error": str(error)})


def _answered(
    worker: TrialWorker, trial: Mapping[str, Any], say: Callable[[Mapping[str, Any]], None]
) -> dict[str, Any]:
    stopped = False

    def told(epoch: Epoch) -> bool:
        nonlocal stopped
        say({"epoch": epoch.number, "eval_loss": epoch.eval_loss})
        answer = sys.stdin.readline()
        if not answer:
            raise Interrupted  # Nobody waits for this trial any more.
        stopped = json.loads(answer)["stop"]
        return stopped

    return worker.run(trial, told) | {"stopped": stopped}


if __name__ == "__main__":
    main()
