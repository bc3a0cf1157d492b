"""A local run's record, `run.json` in its folder. It is begun with the run: a killed run is in the history too."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.pipelines.history.outcome import Outcome

RECORD = "run.json"
LOCK = ".running"
"""Locked by the process that runs: when that ends, however it ends, the lock is free."""

RUNNING, INTERRUPTED, UNREADABLE = "running", "interrupted", "unreadable"
LATEST = "latest"


@dataclass(frozen=True)
class RunRecord:
    """A run as its history has it, of this machine or of a cluster."""

    run: str
    """Its id: a local run's is its folder's name, a cluster's is KFP's."""
    pipeline: str
    status: str
    """`running`, `succeeded`, `refused`, `skipped`, `failed`, `interrupted` (killed or stopped), or `unreadable`."""
    started: str
    """ISO 8601, UTC."""
    seconds: float = 0.0
    """Until it ended; 0 while it runs."""
    arguments: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    error: str = ""
    """What went wrong, or what was refused and why."""
    tasks: list[dict[str, Any]] = field(default_factory=list)
    """`name`, `title`, `state`, `seconds` and `outputs` of each."""
    page: str = ""
    """Its page: a file here, or an address of Kubeflow's UI."""

    @property
    def target(self) -> str:
        """Where it deploys; empty if the pipeline has no such parameter."""
        return str(self.arguments.get("target", ""))

    def as_json(self) -> dict[str, Any]:
        """Returns the record as plain JSON values."""
        content: dict[str, Any] = _plain(dataclasses.asdict(self) | {"target": self.target})
        return content


@contextlib.contextmanager
def recording(folder: Path, pipeline: str, arguments: Mapping[str, Any]) -> Iterator[RunRecord]:
    """Records that a run is under way in its folder; write its end with `write`.

    A run that ends by an exception is recorded as interrupted.
    """
    begun = RunRecord(folder.name, pipeline, RUNNING, _now(), arguments=dict(arguments))
    with (folder / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write(folder, begun)
        try:
            yield begun
        except BaseException as error:
            write(folder, dataclasses.replace(begun, status=INTERRUPTED, error=" ".join(str(error).split())))
            raise


def write(folder: Path, record: RunRecord) -> None:
    """Writes a run's record into its folder, atomically."""
    storage.write_json(folder / RECORD, record.as_json())


def read(folder: Path) -> RunRecord:
    """Returns the record of a run by its folder.

    Raises:
        UserError: It cannot be read.
    """
    content = storage.read_json(folder / RECORD)
    known = {each.name for each in dataclasses.fields(RunRecord)}
    try:
        kept = {name: value for name, value in content.items() if name in known}
        names = {each.name for each in dataclasses.fields(Outcome)}
        told = {name: value for name, value in kept.pop("outcome").items() if name in names}
        record = RunRecord(**kept, outcome=Outcome(**told))
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{folder / RECORD}: is no record of a run ({error}); remove that folder") from error
    return (
        dataclasses.replace(record, status=INTERRUPTED) if record.status == RUNNING and not is_alive(folder) else record
    )


def is_alive(folder: Path) -> bool:
    """Returns whether the process that makes a run still lives."""
    try:
        with (folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def runs_folder(root: Path) -> Path:
    """Returns the folder of a local root's runs."""
    return root / "runs"


def all_runs(root: Path) -> list[RunRecord]:
    """Returns the recorded runs of a local root, newest first; folders without a record are none."""
    found = [_read_or_say(path.parent) for path in runs_folder(root).glob(f"*/{RECORD}")]
    return sorted(found, key=lambda record: (record.started, record.run), reverse=True)


def _read_or_say(folder: Path) -> RunRecord:
    """Returns a run's record; of one that cannot be read, that it cannot: one faulty file hides no other run."""
    try:
        return read(folder)
    except UserError as error:
        return RunRecord(folder.name, "", UNREADABLE, "", error=str(error))


def find(records: list[RunRecord], wanted: str) -> RunRecord:
    """Returns the run that is meant: by its id, the beginning of it, or `latest`.

    Raises:
        UserError: There is none, or there are several.
    """
    if not records:
        raise UserError("there are no runs yet; `mainspring run PIPELINE` makes one")
    if wanted == LATEST:
        return records[0]
    found = [record for record in records if record.run == wanted]
    found = found or [record for record in records if record.run.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"run {wanted}: is the beginning of {len(found)} runs, such as {found[0].run}; write more of it"
        )
    raise UserError(f"run {wanted}: is not there; `mainspring runs list` shows them, the newest is {records[0].run}")


def _plain(value: Any) -> Any:
    """Returns a value as JSON can hold it: no NaN, and a text of what JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
