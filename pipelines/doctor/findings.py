"""One check's result."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WRONG = "ok", "note", "wrong"
"""`note`: could not be looked at from here, or is only needed for some things."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    state: str
    says: str
    fix: str = ""

    def line(self) -> str:
        """Returns it as one line."""
        return " ".join(f"{self.state:5} {self.check}: {self.says}{f'; {self.fix}' if self.fix else ''}".split("\n"))
