"""The most memory that this program has held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_mebibytes() -> float:
    """Returns the most memory that this program held, in MiB.

    Where there is a `/proc`, by it: `ru_maxrss` counts what the parent held when it forked as well, so that a program
    that was started by a larger one seems to take as much, and its growth up to there is not seen.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
