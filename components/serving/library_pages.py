"""Pages of libraries that only their loading has read, given back to the kernel.

Loading TensorFlow's library maps 300 MB of it: its tables of symbols and relocations, which nothing reads again, and
what the kernel maps around each page that is. Given back, they are the page cache's, and no longer this process's.
What is needed again comes from there, without a disk.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SMALLEST = 1 << 20
"""Bytes of a mapping that is worth the call."""

_MAPS = Path("/proc/self/smaps")
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ [1-9]\d* +\S")
"""A mapping's first line; its inode is not 0, so it is a file's."""

_MADV_DONTNEED = 4


def give_back() -> None:
    """Gives them back; does nothing where the system is no Linux."""
    if sys.platform != "linux":
        return
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, end in unchanged(_MAPS.read_text(encoding="utf-8", errors="replace")):
        advise(start, end - start, _MADV_DONTNEED)


def unchanged(text: str) -> Iterator[tuple[int, int]]:
    """Yields where the mappings of files begin and end that nobody can write, or has written, into.

    What the loader has relocated is a copy, which is nowhere else.

    Args:
        text: What Linux says of a process's mappings.
    """
    found: tuple[int, int] | None = None
    for line in text.splitlines():
        if begins := _MAPPING.match(line):
            start, end = int(begins[1], 16), int(begins[2], 16)
            readable = begins[3].startswith("r-") and begins[3].endswith("p")
            found = (start, end) if readable and end - start >= SMALLEST else None
        elif line.startswith("Anonymous:") and line.split()[1] == "0" and found:
            yield found
            found = None
        elif line[:1] in "0123456789abcdef":  # A mapping of no file.
            found = None
