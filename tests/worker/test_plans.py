"""The plans of the hot statements, custom and generic: nested loops over indexes, whatever the statistics say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs.db.connect import connect_hot
from pgjobs.db.statements import statement
from tests.support.rows import put_worker
from tests.support.worker import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Server

IDS = {"ids": "{1,2,3}", "claims": "{1,1,1}", "worker_id": 1}
ERRORS = {"errors": ["a", "b", "c"], "tracebacks": [None, None, None], "host": "h"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "claim": {
        "priorities": "{0,1,2,3,4,5,6,7,8,9}",
        "run_ats": "{" + ",".join(["1970-01-01T00:00:00Z"] * 10) + "}",
        "ids": "{0,0,0,0,0,0,0,0,0,0}",
        "queue": "default",
        "demand": 100,
        "worker_id": 1,
    },
    "complete": IDS,
    "retry": {**IDS, **ERRORS, "delays": [1.0, 2.0, 3.0], "isolates": [True, False, False]},
    "fail": {**IDS, **ERRORS},
    "snooze": {**IDS, "delays": [1.0, 2.0, 3.0]},
    "release": IDS,
    "cancel": {**IDS, "reasons": ["a", "b", "c"]},
    "heartbeat": {"worker_ids": [1]},
}
INDEXES = {"claim": "jobs_live_due", "heartbeat": "workers_pkey"}
DEAD = 100_000


@pytest.fixture(scope="module", params=["an empty table", "dead rows", "dead rows, analyzed"])
def hot(server: Server, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """Connect as a worker does to tables in this state."""
    url = server.create()
    with psycopg.connect(url, autocommit=True) as conn:
        put_worker(conn, {"default": 1})
        if request.param != "an empty table":
            conn.execute("ALTER TABLE pgjobs.jobs_live SET (autovacuum_enabled = off)")
            conn.execute(
                "INSERT INTO pgjobs.jobs (task, payload, priority) "
                "SELECT 'x', 'x', n %% 10 FROM generate_series(1, %s) AS n",
                [DEAD],
            )
            conn.execute("UPDATE pgjobs.jobs_live SET status = 'running', worker_id = 1, attempt = 1")
            conn.execute("DELETE FROM pgjobs.jobs_live WHERE id > 10")
            if request.param.endswith("analyzed"):
                conn.execute("ANALYZE pgjobs.jobs_live")
            assert scalar(conn, "SELECT pg_relation_size('pgjobs.jobs_live')") > 100 * DEAD
    with connect_hot(url, application_name="plans") as connection:
        yield connection
    server.drop(url)


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_the_plan_reads_the_live_table_by_its_indexes_only(hot: psycopg.Connection, name: str, mode: str) -> None:
    nodes = plan_of(hot, name, mode)
    live = [node for node in nodes if node.get("Relation Name") in ("jobs_live", "workers")]
    assert live, nodes
    for node in live:
        assert node["Node Type"] in ("Index Scan", "Index Only Scan", "Tid Scan", "ModifyTable"), node
    used = {node["Index Name"] for node in live if "Index Name" in node}
    assert INDEXES.get(name, "jobs_live_pkey") in used
    assert used <= {"jobs_live_due", "jobs_live_pkey", "workers_pkey"}
    for node in nodes:
        assert node["Node Type"] not in ("Sort", "Incremental Sort", "Hash Join", "Merge Join", "Bitmap Heap Scan"), (
            node
        )


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_claim_starts_in_the_index_where_the_last_one_left_off(hot: psycopg.Connection, mode: str) -> None:
    (scan,) = [node for node in plan_of(hot, "claim", mode) if node.get("Index Name") == "jobs_live_due"]
    condition = scan["Index Cond"]
    for part in ("queue = ", "priority = f.priority", "run_at <= now()", "ROW(run_at, id) >= ROW(f.run_at, f.id)"):
        assert part in condition, condition


def test_a_worker_uses_generic_plans(hot: psycopg.Connection) -> None:
    assert scalar(hot, "SHOW plan_cache_mode") == "force_generic_plan"


def plan_of(hot: psycopg.Connection, name: str, mode: str) -> list[dict[str, Any]]:
    """Give all nodes of the plan that a prepared statement gets."""
    with psycopg.ClientCursor(hot) as cursor, hot.transaction(force_rollback=True):
        cursor.execute(f"SET LOCAL plan_cache_mode = {mode}")
        values = PARAMETERS[name]
        places = {key: f"${number}" for number, key in enumerate(values, 1)}
        cursor.execute(f"PREPARE hot AS {(statement(name) % places)}")
        given = ", ".join(["%s"] * len(values))
        row = cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE hot ({given})", list(values.values())).fetchone()
        cursor.execute("DEALLOCATE hot")
    assert row is not None
    plans = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(_nodes(plans[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
