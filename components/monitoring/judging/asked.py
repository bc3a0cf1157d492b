"""What is asked of a run of monitoring, checked: whose logs, which window, which labels, and by which policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.components.monitoring.policy import Policy

if TYPE_CHECKING:
    from mainspring.components.monitoring.judging.labels import LabelSource
    from mainspring.components.monitoring.logs.gathering import Window


@dataclass(frozen=True)
class Asked:
    """What is asked of a run, checked."""

    logs: str
    folder: Path
    """The published version."""
    policy: Policy
    window: Window
    until: float
    """When the window ends, for its key: `window.until`, or now for an open one."""
    key: str
    labels: LabelSource | None
    namespace: str = ""
    """Records that name another are foreign; empty: of none."""
