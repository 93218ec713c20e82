"""EXPLAIN of the named statements, prepared as a worker's are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs.db.statements import statement
from tests.system.plans.hot import HOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.plans.tables import Tables

Node = dict[str, Any]
# Of a column whose type is a domain: it is shown, and nothing is done for it.
_BASE_TYPE = re.compile(r"\((\w+)\)::\w+(?: with time zone)?")


def plan_of(tables: Tables, name: str, mode: str) -> list[Node]:
    """Return all nodes of the plan that the statement gets where it is run, in this `plan_cache_mode`."""
    return list(_nodes(_explain(tables, name, "", mode)["Plan"]))


def run(tables: Tables, name: str, **changed: Any) -> tuple[int, int]:
    """Run the statement, take it back, and give the rows that it found and the pages that it touched.

    It runs twice, because the first time it clears away what was taken back before.
    """
    options = "ANALYZE, BUFFERS, TIMING off, "
    _, top = (_explain(tables, name, options, "force_generic_plan", **changed)["Plan"] for _ in range(2))
    return round(top["Actual Rows"]), top["Shared Hit Blocks"] + top["Shared Read Blocks"]


def _explain(tables: Tables, name: str, options: str, mode: str, **changed: Any) -> dict[str, Any]:
    conn, text = tables.connections[HOT[name].connection], statement(name)
    given = {**HOT[name].parameters, **(tables.places if name == "claim" else tables.jobs), **changed}
    values = {key: value for key, value in given.items() if f"%({key})s" in text}
    places = {key: f"${number}" for number, key in enumerate(values, 1)}
    with psycopg.ClientCursor(conn) as cursor, conn.transaction(force_rollback=True):
        cursor.execute(f"SET LOCAL plan_cache_mode = {mode}")
        cursor.execute(f"PREPARE hot AS {text % places}")
        arguments = f"({', '.join(['%s'] * len(values))})" if values else ""
        row = cursor.execute(
            f"EXPLAIN ({options}FORMAT JSON) EXECUTE hot {arguments}", list(values.values())
        ).fetchone()
        cursor.execute("DEALLOCATE hot")
    assert row is not None
    found: dict[str, Any] = (row[0] if isinstance(row[0], list) else json.loads(row[0]))[0]
    return found


def _nodes(plan: Node) -> Iterator[Node]:
    yield {**plan, "Index Cond": _BASE_TYPE.sub(r"\1", plan.get("Index Cond", ""))}
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
