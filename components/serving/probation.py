"""A server's first minute: it ends with the deployment that started it, unless that says "keep" first.

Its standard input is a pipe whose other end the deployment holds. However the deployment ends, killed or not, the
pipe's end is noticed, and no server stays behind that nobody knows of.
"""

from __future__ import annotations

import os
import sys

KEEP = "keep"


def read_line_or_end() -> str:
    """Returns the next line of standard input; ends the process at once if there will be none."""
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        os._exit(0)
    return line.strip()


def wait_until_kept() -> None:
    """Returns once the deployment says so, and lets go of the pipe; ends the process if it never does."""
    while read_line_or_end() != KEEP:
        pass
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
