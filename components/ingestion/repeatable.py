"""Queries that give other rows each time are refused by name; where only the rows' order matters, one thread runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from mainspring.components.common.errors import UserError

_CHANCE = {"random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "setseed", "nextval", "currval"}
_CLOCK = {"now", "today", "current_date", "current_timestamp", "get_current_timestamp", "transaction_timestamp"}
_CLOCK |= {"current_time", "get_current_time", "current_localtime", "current_localtimestamp", "localtime"}
_CLOCK |= {"localtimestamp", "txid_current", "current_transaction_id"}


def needs_one_thread(query: str) -> bool:
    """Returns whether the query's rows may depend on the order in which threads come by: it groups, limits or samples.

    Raises:
        UserError: The query asks chance or the clock, so that no two runs would give the same rows.
    """
    with duckdb.connect() as connection:
        found = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0][0]
    parsed = json.loads(found)
    if parsed.get("error"):
        return False
    nodes = list(_nodes(parsed))
    for node in nodes:
        names = {str(node.get("function_name", "")).lower()}
        if node.get("class") == "COLUMN_REF":
            names = {str(name).lower() for name in node.get("column_names", [])[-1:]} & {"current_date", "localtime"}
        if used := sorted(names & _CHANCE):
            raise UserError(
                f"query: {used[0]}() gives other values in every run; derive them from a column, such as hash(id) % 100"
            )
        if used := sorted(names & _CLOCK):
            raise UserError(f"query: {used[0]} is another time in every run; write the time, or take it from a column")
        sample = node.get("sample")
        if isinstance(sample, dict) and not (isinstance(sample.get("seed"), int) and 0 <= sample["seed"] < 2**63):
            raise UserError(
                "query: a sample without a seed takes other rows in every run; say WHERE hash(id) % 100 < 20"
            )
    aggregates = _aggregates()
    return any(
        (node.get("class") == "FUNCTION" and str(node.get("function_name")) in aggregates)
        or node.get("class") == "WINDOW"
        or node.get("sample")
        or str(node.get("type")) in ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER")
        for node in nodes
    )


def _aggregates() -> set[str]:
    with duckdb.connect() as connection:
        found = connection.execute("SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'")
        return {str(name) for (name,) in found.fetchall()}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(inner)
