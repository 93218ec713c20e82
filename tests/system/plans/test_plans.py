"""Hot statements are nested loops over indexes and touch few pages, whatever the statistics and the dead rows say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgjobs.db.connection import connect_hot
from tests.support.worker import scalar
from tests.system.plans.explain import plan_of, run
from tests.system.plans.hot import HOT
from tests.system.plans.tables import EMPTY, STATES, Tables, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.support.postgres import Server

READS = ("Index Scan", "Index Only Scan", "Tid Scan")
NEVER = ("Seq Scan", "Bitmap Heap Scan", "Sort", "Incremental Sort", "Hash Join", "Merge Join", "Hash", "Materialize")
PAGES_A_ROW = 25  # an acknowledgement descends one index and writes to two; about 16 at a million dead rows
PAGES = 100  # for a statement, beside its rows


@pytest.fixture(scope="module", params=STATES)
def made(server: Server, request: pytest.FixtureRequest) -> Iterator[Tables]:
    with tables(server, request.param) as made:
        yield made


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("name", [name for name in HOT if HOT[name].pinned])
def test_the_plan_is_made_of_narrow_index_scans(made: Tables, name: str, mode: str) -> None:
    nodes, hot = plan_of(made, name, mode), HOT[name]
    for node in nodes:
        if "Relation Name" in node and node["Node Type"] != "ModifyTable":
            assert node["Node Type"] in READS, node
        assert node["Node Type"] not in NEVER, node
    scans = [node for node in nodes if "Index Name" in node]
    assert {node["Index Name"] for node in scans} == hot.indexes
    for condition in hot.conditions:
        assert any(condition in node.get("Index Cond", "") for node in scans), (condition, scans)


@pytest.mark.parametrize("name", HOT)
def test_the_pages_touched_depend_on_the_rows_wanted_alone(made: Tables, name: str) -> None:
    rows, pages = run(made, name)
    if made.state not in EMPTY:
        assert rows == (HOT[name].rows if HOT[name].returned is None else HOT[name].returned)
    assert pages <= PAGES + PAGES_A_ROW * HOT[name].rows


def test_a_look_into_a_queue_with_nothing_new_touches_few_pages(made: Tables) -> None:
    now = scalar(made.connections["caller"], "SELECT now()::text")
    rows, pages = run(made, "claim", run_ats=[now] * 10)
    assert rows == 0
    assert pages <= PAGES


@pytest.mark.parametrize("queues", [1, 10_000])
def test_an_enqueue_reads_the_rows_of_its_own_queue_only(conn: psycopg.Connection, queues: int) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name) SELECT 'queue' || n FROM generate_series(1, %s) AS n", [queues])
    conn.execute("ANALYZE pgjobs.queues")
    with conn.transaction():
        for _ in range(10):
            conn.execute("INSERT INTO pgjobs.jobs (queue, task, payload) VALUES ('queue1', 'x', 'x')")
        read = (
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'pgjobs.queues'::regclass"
        )
        assert scalar(conn, read) <= 10


def test_the_hot_connection_uses_generic_plans(database_url: str) -> None:
    with connect_hot(database_url, application_name="plans") as hot:
        assert scalar(hot, "SHOW plan_cache_mode") == "force_generic_plan"
