"""Known vulnerabilities in the locks, by pip-audit. What could not be asked about is not audited, and never fine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mainspring.components.common.errors import UserError

VULNERABLE = 1
NOT_AUDITED = 3
"""The exit status when the advisory service did not answer, or did not know a package."""

TIMEOUT_SECONDS = 900.0


@dataclass
class Findings:
    """What an audit of some locks found."""

    packages: int = 0
    """Asked about and answered, each lock's counted."""
    vulnerabilities: set[str] = field(default_factory=set)
    """A line for each: package, version, advisory, the versions that mend it."""
    not_audited: set[str] = field(default_factory=set)
    """A line for each package or lock that nothing is known about, with the reason."""

    @property
    def status(self) -> int:
        """0 only if everything was audited and nothing was found."""
        return VULNERABLE if self.vulnerabilities else NOT_AUDITED if self.not_audited else 0


def audit(locks: Iterable[Path], options: Sequence[str], say: Callable[[str], None]) -> Findings:
    """Asks about every package of the locks that this platform would install.

    Args:
        locks: Locked requirements with hashes.
        options: pip-audit's own, such as `--vulnerability-service=osv` or `--ignore-vuln=ID`.
        say: Is told how it goes.

    Raises:
        UserError: pip-audit is not installed.
    """
    program = Path(sys.executable).parent / "pip-audit"
    if not program.is_file():
        raise UserError("pip-audit is not installed here: pip install pip-audit")
    findings = Findings()
    for lock in locks:
        if not any("==" in line for line in lock.read_text(encoding="utf-8").splitlines()):
            continue  # An empty lock is a component that needs nothing.
        say(f"auditing {lock.parent.name}/{lock.name}")
        command = [str(program), "--requirement", str(lock), "--require-hashes", "--disable-pip", "--format=json"]
        command += ["--progress-spinner=off", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
        _read(done, lock, findings)
    return findings


def _read(done: subprocess.CompletedProcess[str], lock: Path, findings: Findings) -> None:
    try:
        answered = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        findings.not_audited.add(f"{lock.parent.name}/{lock.name}: {said[:200]}")
        return
    for package in answered:
        if reason := package.get("skip_reason"):
            findings.not_audited.add(f"{package['name']}: {reason}")
            continue
        findings.packages += 1
        for found in package["vulns"]:
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            findings.vulnerabilities.add(f"{package['name']} {package['version']}: {found['id']}, mended in {mended}")
