"""Memory of large arrays that goes back to the system, so that a long training needs no more than a short one."""

from __future__ import annotations

import contextlib
import ctypes

M_MMAP_THRESHOLD = -3
"""glibc's number of the setting, in malloc.h."""
LARGE_BYTES = 2 << 20


def give_large_arrays_back() -> None:
    """Has glibc take arrays of `LARGE_BYTES` or more from the system, and give them back when they are freed.

    Left alone it learns from the first large array that is freed to take the next ones of its size from the heap, where
    smaller ones in between keep it from shrinking: with each block that is read, a little more. Elsewhere than on glibc
    nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
