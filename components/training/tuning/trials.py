"""Trials in processes of their own: as many at a time as asked for, each with its share of the machine."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import optuna

from mainspring.components.common.errors import UserError

GRACE_SECONDS = 5.0


class TrialFailed(Exception):
    """A trial that came to nothing; tuning goes on with the others."""


class Workers:
    """The processes that train trials. One that dies is replaced; its trial has failed."""

    def __init__(self, order: dict[str, Any], count: int, gpus: int) -> None:
        """Starts the first process and checks with it what all share.

        Args:
            order: What `TrialWorker` is told.
            count: Processes at a time.
            gpus: GPUs to share out, one a process; 0: the processors are shared out.

        Raises:
            UserError: The worker refuses the order.
        """
        self._order, self._gpus, self._count = order, gpus, count
        self._idle: queue.Queue[tuple[int, subprocess.Popen[str] | None]] = queue.Queue()
        self._all: list[subprocess.Popen[str]] = []
        self._idle.put((0, self._start(0)))
        for place in range(1, count):
            self._idle.put((place, None))

    def run(self, trial: optuna.Trial, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """Trains a trial in the next idle process and returns what came of it.

        Raises:
            TrialFailed: The training failed, or its process died.
        """
        place, process = self._idle.get()
        try:
            if process is None or process.poll() is not None:
                process = self._start(place)
            return self._run(process, trial, hyperparameters)
        except (BrokenPipeError, EOFError) as error:
            assert process is not None
            process.kill()
            raise TrialFailed(
                f"its process died with status {process.wait()}; less in parallel needs less memory"
            ) from error
        finally:
            self._idle.put((place, process))

    def close(self) -> None:
        """Ends all processes."""
        for process in self._all:
            if process.stdin:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        for process in self._all:
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def _run(
        self, process: subprocess.Popen[str], trial: optuna.Trial, hyperparameters: dict[str, Any]
    ) -> dict[str, Any]:
        _say(process, hyperparameters)
        for reply in _replies(process):
            if "error" in reply:
                raise TrialFailed(reply["error"])
            if "epoch" not in reply:
                return reply
            trial.report(reply["eval_loss"], reply["epoch"])
            _say(process, {"stop": bool(trial.should_prune())})
        raise EOFError

    def _start(self, place: int) -> subprocess.Popen[str]:
        threads = str(max((os.cpu_count() or 1) // self._count, 1))
        shared = (
            {"CUDA_VISIBLE_DEVICES": str(place % self._gpus)}
            if self._gpus
            else {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "mainspring.components.training.tuning.trial_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | shared,
        )
        self._all.append(process)
        with contextlib.suppress(BrokenPipeError):
            _say(process, self._order)
        reply = next(_replies(process), None)
        if reply is None:
            raise UserError(f"a process of tuning ended with status {process.wait()} before its first trial")
        if "refused" in reply:
            raise UserError(reply["refused"])
        return process


def _say(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _replies(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)
