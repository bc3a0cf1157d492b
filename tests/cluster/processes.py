"""Processes of a test cluster: started with a log, waited for until ready, and stopped with whoever started them."""

from __future__ import annotations

import ctypes
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
LOG_LINES, LINE = 15, 300


@dataclass
class Process:
    """A running program."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait_ready(self, url: str, seconds: float, authority: Path | None = None) -> None:
        """Returns once the URL answers with success.

        Raises:
            RuntimeError: The process ended, or was not ready in time; with the last lines of its log.
        """
        context = ssl.create_default_context(cafile=str(authority)) if authority else None
        deadline, said = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode}: {self.tail()}")
            try:
                with urllib.request.urlopen(url, timeout=5.0, context=context):
                    return
            except (urllib.error.URLError, OSError) as error:
                said = str(error)
            time.sleep(POLL_SECONDS)
        raise RuntimeError(f"{self.name} is not ready at {url} after {seconds:.0f} s ({said}): {self.tail()}")

    def tail(self) -> str:
        """Returns the last lines of its log."""
        return "\n".join(line[:LINE] for line in self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])

    def stop(self) -> None:
        """Ends it: by SIGTERM, and by SIGKILL if it takes too long."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(name: str, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Process:
    """Starts a program that ends when its parent does, also when that is killed."""
    log = folder / f"{name}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )
    return Process(name, process, log)


_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    # Only what is safe between fork and exec: one system call.
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
