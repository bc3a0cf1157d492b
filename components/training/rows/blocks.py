"""Train's encoded rows, dealt into blocks: each block is a sample of the whole table, whatever order the rows came in.

A table sorted by date cannot be shuffled through a small buffer, and a large one cannot be permuted in memory. So the
rows are dealt like cards while they are encoded, and each epoch takes the blocks in a new order and permutes each in
memory: no row's place tells anything of its date. A small table is one block, which stays in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from mainspring.components.common import storage
from mainspring.components.common.errors import RetriableError, UserError

BLOCK_ROWS = 65_536
BATCHES_PER_BLOCK = 8
"""A block has at least this many batches, so that the rows left over at its end stay few."""
MOST_BLOCKS = 512
GIGABYTE = 1e9


@dataclass(frozen=True)
class Layout:
    """What a row of a block holds: 32-bit words, the ids first, then the numbers, then the target."""

    ids: int
    """How many; the last `crosses` of them are crosses."""
    crosses: int
    numbers: int
    has_float_target: bool

    @property
    def width(self) -> int:
        """Words per row."""
        return self.ids + self.numbers + 1


@dataclass(frozen=True)
class Blocks:
    """Encoded rows, ready to be fed."""

    layout: Layout
    sizes: tuple[int, ...]
    """Rows per block."""
    resident: np.ndarray | None
    """int32 [rows, width]: the only block, in memory; None: the blocks are files."""
    files: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of all blocks."""
        return sum(self.sizes)


def pack(inputs: Mapping[str, np.ndarray], targets: np.ndarray) -> np.ndarray:
    """Returns int32 [rows, width]: ids, numbers and target side by side, floats by their bits."""
    parts = [inputs["ids"], inputs["numbers"].view(np.int32), targets[:, None].view(np.int32)]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def unpack(rows: tf.Tensor, layout: Layout) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Returns the model's inputs and the targets [rows, 1] of packed rows."""
    ids, numbers, targets = tf.split(rows, [layout.ids, layout.numbers, 1], axis=1)
    return (
        {"ids": ids, "numbers": tf.bitcast(numbers, tf.float32)},
        tf.bitcast(targets, tf.float32) if layout.has_float_target else targets,
    )


def deal(parts: Iterable[np.ndarray], layout: Layout, rows: int, batch_size: int, folder: Path, seed: int) -> Blocks:
    """Writes rows to blocks on disk: of each `len(blocks)` rows that come, every block gets one, in random order.

    Args:
        parts: Packed rows.
        layout: Theirs.
        rows: How many there will be.
        batch_size: Rows of the batches to come.
        folder: Where the blocks go; it must exist.
        seed: Of the dealing.

    Raises:
        RetriableError: The disk has too little room left.
        UserError: The disk is too small.
    """
    count = int(np.clip(rows // max(BLOCK_ROWS, BATCHES_PER_BLOCK * batch_size), 1, MOST_BLOCKS))
    _check_room(rows * layout.width * 4, folder)
    files = [folder / f"block-{number:03}" for number in range(count)]
    random = np.random.default_rng(seed)
    sizes, waiting = np.zeros(count, np.int64), np.zeros(0, np.int64)
    for part in parts:
        while len(waiting) < len(part):
            rounds = -(-(len(part) - len(waiting)) // count)
            order = random.permuted(np.tile(np.arange(count), (rounds, 1)), axis=1)
            waiting = np.concatenate([waiting, order.ravel()])
        places, waiting = waiting[: len(part)], waiting[len(part) :]
        grouped = part[np.argsort(places, kind="stable")]
        dealt = np.bincount(places, minlength=count)
        for file, rows_of_block in zip(files, np.split(grouped, np.cumsum(dealt)[:-1]), strict=True):
            with storage.full_disks_as_user_errors(folder), file.open("ab") as target:
                target.write(rows_of_block.tobytes())
        sizes += dealt
    return Blocks(layout, tuple(sizes.tolist()), None, tuple(map(str, files)))


def _check_room(needed: int, folder: Path) -> None:
    disk = shutil.disk_usage(folder)
    said = f"the encoded rows need {needed / GIGABYTE:.1f} GB in {folder}, which has {disk.free / GIGABYTE:.1f} GB free"
    if disk.total < needed:
        raise UserError(
            f"disk: {said} of {disk.total / GIGABYTE:.1f}; give the task more, or set TMPDIR to a larger one"
        )
    if disk.free < needed:
        raise RetriableError(f"disk: {said}; free some, set TMPDIR to another disk, or try again later")
