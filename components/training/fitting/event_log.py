"""The figures of each epoch as TensorBoard reads them: an event file, which is a TFRecord of Event protos."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from mainspring.components.common import storage
from mainspring.components.training.fitting.epoch import Epoch

FILE_VERSION = "brain.Event:2"
"""The first event of every file says it."""


class EventLog:
    """An event file; nothing is written where there is no folder."""

    def __init__(self, folder: Path | None) -> None:
        """Begins a file in the folder, which is made if need be."""
        self._writer: tf.io.TFRecordWriter | None = None
        if folder is None:
            return
        with storage.full_disks_as_user_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with self._going_on():
            self._writer = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{int(time.time())}.mainspring"))
        self._write(tf.compat.v1.Event(wall_time=time.time(), file_version=FILE_VERSION))

    def epoch(self, epoch: Epoch, metric: str) -> None:
        """Writes an epoch's figures, its number as the step; they are in the file at once."""
        figures = {
            "loss/train": epoch.loss,
            "loss/eval": epoch.eval_loss,
            f"{metric}/eval": epoch.metric,
            "seconds": epoch.seconds,
        }
        values = [tf.compat.v1.Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]
        summary = tf.compat.v1.Summary(value=values)
        self._write(tf.compat.v1.Event(wall_time=time.time(), step=epoch.number, summary=summary))

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            with self._going_on():
                self._writer.close()

    def _write(self, event: tf.compat.v1.Event) -> None:
        if self._writer is not None:
            with self._going_on():
                self._writer.write(event.SerializeToString())
                self._writer.flush()

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        """Has a log that can no longer be written, such as on a full disk, end without the training."""
        try:
            yield
        except tf.errors.OpError as error:
            self._writer = None
            print(f"logs: no more is written ({error.message}); training goes on", flush=True)
