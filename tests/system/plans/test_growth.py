"""What a statement of a worker does grows with its rows, and not with their square.

The plans of workers are pinned to look-ups by index, so a join of two lists that are in memory compares each with each.
What is looked up in a hash has to be written so: `(x IN (SELECT …)) IS TRUE`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pgjobs
from pgjobs.db.connection import connect_hot
from pgjobs.db.statements import statement
from tests.system.plans.hot import HOT, RARE

SOURCE = Path(pgjobs.__file__).parent
ON_HOT_CONNECTIONS = (
    *(SOURCE / "worker" / "claim").glob("*.py"),
    *(SOURCE / "worker" / "acknowledge").glob("*.py"),
    *(SOURCE / "worker" / "runtime").glob("*.py"),
    *(SOURCE / "db" / f"{name}.py" for name in ("dependencies", "workflow_counts", "workflow_ends")),
)
PARAMETER = re.compile(r"%\((\w+)\)s")
FEW = {
    "lock_holders": "transactions that are open, and have locked a row",
    "park_task": "tasks that are paused",
    "tell_waiting": "signals that were just sent, 500 at most",
    "terminate_backends": "workers that have died",
    "reopen_steps": "workflows whose steps are retried by hand",
    "left_dependencies": "on a connection of the supervisor, whose plans are not pinned",
}
LISTS = ("CTE Scan", "Function Scan", "Values Scan")


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes(child)


def is_list(node: dict[str, Any]) -> bool:
    """Return True for rows that are in memory."""
    below = [child for child in node.get("Plans", []) if child["Parent Relationship"] in ("Outer", "Inner", "Subquery")]
    return node["Node Type"] in LISTS or (len(below) == 1 and "Index Name" not in node and is_list(below[0]))


def compares_all(node: dict[str, Any]) -> bool:
    """Return True if the node compares each row of a list with all rows of another one."""
    if node["Node Type"] == "Nested Loop" and "Join Filter" in node:
        return is_list(next(child for child in node["Plans"] if child["Parent Relationship"] == "Inner"))
    condition = node.get("Index Cond", "")  # the list is sorted anew for each row of the other side
    return "ANY ((InitPlan" in condition and bool(re.search(r"\(id = \w+\.", condition))


def test_no_statement_of_workers_compares_each_of_its_rows_with_all_others(database_url: str) -> None:
    text = "".join(file.read_text("utf-8") for file in ON_HOT_CONNECTIONS)
    names = [name for name in sorted(HOT.keys() | RARE.keys()) if f'"{name}"' in text and name not in FEW]
    assert len(names) > 50
    found: dict[str, list[str]] = {}
    with connect_hot(database_url, application_name="plans") as hot:
        if hot.info.server_version < 160000:
            pytest.skip("this server does not show generic plans")
        for name in names:
            query = str(statement(name))
            for number, parameter in enumerate(sorted(set(PARAMETER.findall(query))), start=1):
                query = query.replace(f"%({parameter})s", f"${number}")
            with hot.transaction(force_rollback=True):
                result = hot.pgconn.exec_(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {query.replace('%%', '%')}".encode())
            value = result.get_value(0, 0)
            assert value is not None, (name, result.error_message)
            bad = [node for node in nodes(json.loads(value)[0]["Plan"]) if compares_all(node)]
            if bad:
                found[name] = [node.get("Join Filter") or node["Index Cond"] for node in bad]
    assert found == {}
