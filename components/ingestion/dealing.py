"""Who goes to train and who to eval: what decides it in a run, and what the manifest says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion import row_identity, rows
from mainspring.components.ingestion.portions import Portion, Said
from mainspring.components.ingestion.splitting import EVAL, Content, Sides, by_hash, by_source_row, by_time

SOURCE_ROWS, ROWS, COLUMNS, TIME, SOURCE = "source rows", "rows", "columns", "time", "source"
"""What decides the side: the row of the source, the row of the query, some columns, the time, the source itself."""

_ODD = 5.0
"""A share of eval so many standard deviations from the one that was asked for is said."""


@dataclass(frozen=True)
class Dealing:
    """What decides the rows' sides in a run."""

    sides: Sides
    identities: Mapping[str, str]
    """The query with its source rows, by portion; empty where they do not decide."""
    told: dict[str, Any]
    """For the manifest: `by`, and what else two runs must have in common to deal a row alike."""


def dealing(
    connection: duckdb.DuckDBPyConnection,
    portions: Mapping[str, Portion],
    query: str,
    columns: Mapping[str, str],
    eval_fraction: float,
    split_columns: Sequence[str],
    time_column: str,
    given: bool,
    earlier: Mapping[str, Any],
) -> Dealing:
    """Returns what decides the sides.

    Args:
        connection: With the further tables.
        portions: By name.
        query: That makes the rows.
        columns: The examples' types by column.
        eval_fraction: In (0, 1).
        split_columns: Columns whose values decide; empty: the row.
        time_column: The newest rows by this column go to eval; empty: chance decides.
        given: Whether the source itself gives the sides.
        earlier: What the baseline's manifest says of its rows' sides; empty: there is none. While the source has all
            columns that decided then, they decide: a column that is new in the source leaves every row on its side.

    Raises:
        UserError: A named column is none.
    """
    for parameter, names in (("split_columns", split_columns), ("time_column", [time_column] if time_column else [])):
        if unknown := [name for name in names if name not in columns]:
            raise UserError(f"{parameter}: {', '.join(unknown)} is no column; there are {', '.join(columns)}")
    if given:
        return Dealing(by_hash(eval_fraction, ()), {}, {"by": SOURCE})
    if time_column:
        cut = rows.time_cut(connection, list(portions.values()), query, columns, time_column, eval_fraction)
        print(f"eval is what has {time_column} {cut} or later", flush=True)
        return Dealing(by_time(time_column, cut), {}, {"by": TIME, "column": time_column, "cut": cut})
    told: dict[str, Any] = {"eval_fraction": eval_fraction}
    if split_columns:
        return Dealing(by_hash(eval_fraction, split_columns), {}, {"by": COLUMNS, **told, "columns": [*split_columns]})
    there = sorted({name for portion in portions.values() for name in portion.columns})
    then = earlier.get("columns", []) if earlier.get("by") == SOURCE_ROWS else []
    deciding = then if then and {*then} <= {*there} else there
    identities = {name: rows.identity(connection, portion, query, deciding) for name, portion in portions.items()}
    if all(identities.values()):
        told |= {"by": SOURCE_ROWS, "columns": deciding, "hash": row_identity.probe(connection)}
        return Dealing(by_source_row(eval_fraction, row_identity.COLUMN), identities, told)
    return Dealing(by_hash(eval_fraction, ()), {}, {"by": ROWS, **told, "columns": sorted(columns), "query": query})


def say_what_lies_together(
    content: Mapping[str, Content], eval_fraction: float, told: Mapping[str, Any], said: Said
) -> None:
    """Tells of a share of eval that chance does not explain: equal rows lie on one side, so that no row is on both."""
    count = sum(part.rows for part in content.values())
    share = content[EVAL].rows / count
    if told["by"] in (SOURCE_ROWS, ROWS, COLUMNS):
        spread = math.sqrt(eval_fraction * (1 - eval_fraction) / count)
        if abs(share - eval_fraction) > _ODD * spread:
            what = "rows of equal values in the split's columns" if told["by"] == COLUMNS else "rows that are equal"
            said.add(
                f"eval has {share:.1%} of the rows, where {eval_fraction:.1%} was asked for: {what} lie on one side"
            )
