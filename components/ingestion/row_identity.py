"""Which row of the source a row of the query is, so that another query does not deal the rows anew.

Rows go to train or eval by a hash. Where each row of the query is a row of the source (a projection, a filter, a join
of further tables), the hash is of that source row: a feature that is added, dropped or computed otherwise leaves every
row on its side. Otherwise (groups, DISTINCT, subqueries) the hash is of the row that the query makes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from itertools import zip_longest
from typing import Any

import duckdb

from mainspring.components.ingestion.columns.column_types import DOUBLES, INTEGERS, MOMENTS, WIDE, literal, quoted

COLUMN = "mainspring source row"
"""The hash of the source row, beside the query's own columns; null: the row has none."""

_TABLE = "source"


def identified(connection: duckdb.DuckDBPyConnection, query: str, columns: Collection[str]) -> str:
    """Returns the query with `COLUMN` beside its own columns, or nothing where its rows are no rows of the source.

    Args:
        connection: With the table `source`.
        query: One SELECT that the connection can run.
        columns: Of the source: whose values the hash is of, as far as this table has them.
    """
    parsed = json.loads(_one(connection, f"SELECT json_serialize_sql({literal(query)})"))
    if parsed.get("error") or len(parsed.get("statements", [])) != 1:
        return ""
    node = parsed["statements"][0]["node"]
    alias = _alias(node)
    if not alias:
        return ""
    described = connection.execute(f"DESCRIBE {_TABLE}").fetchall()
    known = {name.lower() for name in columns}
    held = {str(name): str(kind) for name, kind, *_ in described if str(name).lower() in known}
    if not held:
        return ""
    hashed = _hash(held, alias)
    added = json.loads(
        _one(connection, f"SELECT json_serialize_sql({literal(f'SELECT {hashed} AS {quoted(COLUMN)}')})")
    )
    node["select_list"] += added["statements"][0]["node"]["select_list"]
    found = str(_one(connection, f"SELECT json_deserialize_sql({literal(json.dumps(parsed))}::JSON)"))
    try:
        connection.execute(f"DESCRIBE {found}")
    except duckdb.Error:  # An aggregate without groups, for example: its one row is no row of the source.
        return ""
    return found


def probe(connection: duckdb.DuckDBPyConnection) -> str:
    """Returns what tells this hash from another release's: the hashes of two values."""
    return str(_one(connection, "SELECT to_hex(hash(1.5::DOUBLE, 7::BIGINT)) || to_hex(hash('x', 7::BIGINT))"))


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    return connection.execute(sql).fetchall()[0][0]


def _alias(node: Mapping[str, Any]) -> str:
    """Returns the name by which the query calls `source`; empty where its rows are no rows of it."""
    if node.get("type") != "SELECT_NODE" or node.get("cte_map", {}).get("map"):
        return ""
    if node.get("group_expressions") or node.get("group_sets") or node.get("having") or node.get("sample"):
        return ""
    if node.get("aggregate_handling") != "STANDARD_HANDLING":
        return ""
    if any(modifier.get("type") == "DISTINCT_MODIFIER" for modifier in node.get("modifiers", [])):
        return ""
    tables = _tables(node.get("from_table", {}))
    sources = [table for table in tables if table.get("type") == "BASE_TABLE" and table.get("table_name") == _TABLE]
    if len(sources) != 1 or sources[0].get("schema_name") or any(table.get("sample") for table in tables):
        return ""
    return str(sources[0].get("alias") or _TABLE)


def _tables(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if table.get("type") == "JOIN":
        return [*_tables(table["left"]), *_tables(table["right"])]
    return [table]


def _hash(columns: Mapping[str, str], alias: str) -> str:
    """Returns the SQL of a row's hash: of its values with their columns' names, in any order, without the missing ones.

    So a column that is new in one span leaves the rows of the others where they are, and so do whole numbers that
    became fractions.
    """
    parts = [_part(f"{quoted(alias)}.{quoted(name)}", name, kind.split("(")[0]) for name, kind in columns.items()]
    while len(parts) > 1:  # In pairs: SQL that is as deep as a table is wide cannot be parsed.
        pairs = zip_longest(parts[::2], parts[1::2], fillvalue="0::UBIGINT")
        parts = [f"xor({one}, {other})" for one, other in pairs]
    return f"hash({parts[0]})"


def _part(column: str, name: str, base: str) -> str:
    value = column
    if base in INTEGERS or base in WIDE or base in DOUBLES or base == "BOOLEAN":
        value = f"{column}::DOUBLE"
    elif base in MOMENTS:
        value = f"epoch({column}::TIMESTAMP)"
    salt = f"{zlib.crc32(name.lower().encode(errors='surrogateescape'))}::BIGINT"
    return f"xor(hash({value}, {salt}), hash(NULL, {salt}))"  # A missing value: 0.
