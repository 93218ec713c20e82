"""No function of the schema looks names up where another role may have created some (CVE-2018-1058)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each of them fits better than what PostgreSQL has, or is found first: pg_catalog is the last of the path.
TRAPS = """
    CREATE SCHEMA trap;
    CREATE TABLE trap.sprung (what text);
    GRANT ALL ON SCHEMA trap TO PUBLIC;
"""
TRAP = """
    CREATE FUNCTION trap.{name}({parameters}) RETURNS {result} LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO trap.sprung VALUES ('{name}({parameters})');
        RETURN {value};
    END $$
"""
FUNCTIONS = [
    ("current_setting", "text, boolean", "text", "NULL"),
    ("set_config", "text, text, boolean", "text", "NULL"),
    ("clock_timestamp", "", "timestamptz", "pg_catalog.now()"),
    ("now", "", "timestamptz", "pg_catalog.clock_timestamp()"),
    ("statement_timestamp", "", "timestamptz", "pg_catalog.now()"),
    ("hashtextextended", "text, integer", "bigint", "1"),
    ("hashtextextended", "text, bigint", "bigint", "1"),
    ("hashtext", "text", "integer", "1"),
    ("pg_try_advisory_xact_lock", "bigint", "boolean", "true"),
    ("pg_advisory_xact_lock", "integer, integer", "void", ""),
    ("pg_notify", "text, text", "void", ""),
    ("md5", "text", "text", "'x'"),
    ("left", "text, integer", "text", "'x'"),
    ("format", "text, text, text", "text", "'x'"),
    ("jsonb_typeof", "jsonb", "text", "'array'"),
    ("split_part", "text, text, integer", "text", "'x'"),
    ("convert_to", "text, text", "bytea", "'x'"),
    ("to_char", "date, text", "text", "'x'"),
    ("to_char", "timestamp, text", "text", "'x'"),
    ("to_char", "timestamptz, text", "text", "'x'"),
    ("quote_literal", "text", "text", "'x'"),
    ("regexp_replace", "text, text, text", "text", "'x'"),
    ("jsonb_array_length", "jsonb", "integer", "1"),
    ("age", "xid", "integer", "1"),
]
OPERATORS = [("=", "text"), ("<>", "text"), (">", "timestamptz"), ("||", "text"), ("~", "text"), ("!~", "text")]


@pytest.fixture
def trapped(conn: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection with traps before all that PostgreSQL has, and an armed doorbell."""
    conn.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('default', now() + interval '1 h')")
    conn.execute(TRAPS)
    for name, parameters, result, value in FUNCTIONS:
        conn.execute(TRAP.format(name=name, parameters=parameters, result=result, value=value).encode())
    for sign, kind in OPERATORS:
        result, value = (kind, "$1") if sign == "||" else ("boolean", "false")
        function = f"sign_{ord(sign[0])}_{len(sign)}_{kind}"
        conn.execute(TRAP.format(name=function, parameters=f"{kind}, {kind}", result=result, value=value).encode())
        conn.execute(
            f"CREATE OPERATOR trap.{sign} (FUNCTION = trap.{function}, LEFTARG = {kind}, RIGHTARG = {kind})".encode()
        )
    conn.execute("SET search_path = trap, pg_catalog")
    yield conn
    conn.execute("RESET search_path")
    assert conn.execute("SELECT what FROM trap.sprung").fetchall() == []


INSERT = (
    "INSERT INTO pgjobs.jobs (queue, priority, run_at, max_attempts, task, payload) "
    "VALUES ('default', 5, '2026-01-01', 5, 'a:b', 'x')"
)


@pytest.mark.parametrize(
    "statement",
    [
        INSERT,
        "SELECT pgjobs.enqueue('a:b', '[1]', queue => 'default')",
        "SELECT pgjobs.enqueue('a:b', '{\"x\": 1}', delay => '1 s')",
        "SELECT pgjobs.enqueue('a:b', sequence => 'x', unique_key => 'x', on_conflict => 'replace')",
        "SELECT pgjobs.doorbell_channel('default')",
        "SELECT pgjobs.end_of_lanes()",
        "SELECT pgjobs.batch_lock('q', 5::smallint, 'lane')",
        "SELECT pgjobs.advance_ids()",
        "SELECT pgjobs.ring('x'), pgjobs.notify_queue_has_room()",
        "SELECT * FROM pgjobs.history_partitions(), pgjobs.find_ended('{1}'), pgjobs.hold_ended('{1}')",
        f"{INSERT}; INSERT INTO pgjobs.dead_jobs SELECT *, pg_catalog.now() FROM pgjobs.jobs",
        "SELECT pgjobs.create_history_partition('2030-01-01')",
        "SELECT pgjobs.drop_history_partition('2030-01-01')",
        "UPDATE pgjobs.queues SET doorbell_until = '2099-01-01'",
        "SELECT pgjobs.all_kept(1, 1), pgjobs.refuse_stale_claim(1)",
        "SELECT * FROM pgjobs.list_ended(NULL, NULL, NULL, NULL, 1)",
        "SELECT * FROM pgjobs.count_ended('{completed}', NULL, NULL)",
        "SELECT * FROM pgjobs.select_ended('{completed}', NULL, NULL, 0, 9, 1)",
        "SELECT * FROM pgjobs.room_of_limit('a:b'), pgjobs.room_of_breaker('a'), pgjobs.head_of_sequence('a'),"
        " pgjobs.blocking_letters('a')",
        "SELECT pgjobs.stage_of_lane('a'), r.room FROM pgjobs.room_of_stage('a/b') AS r",
        "SELECT pgjobs.pattern_of('a:b'), pgjobs.bucket_tokens(1, pg_catalog.now(), 1, '1 s', NULL)",
        "SELECT pgjobs.errors_with('[]', 1, pg_catalog.now(), 1, 'h', 'E', NULL) FROM pgjobs.queues",
        "SELECT * FROM pgjobs.held_snapshots()",
        "SELECT * FROM pgjobs.queue_names",
        "SELECT pgjobs.publish('a.b', '{\"x\": 1}', sequence => 's')",
        "SELECT pgjobs.topic_matches('a.#', 'a.b'), pgjobs.deliver_events('{1}', '{a}', '{2030-01-01}', '{NULL}',"
        " '{NULL}', '{x}', NULL)",
        "SELECT * FROM pgjobs.replay_events(1, '2020-01-01', '2040-01-01', '2020-01-01', 0, 1)",
        "SELECT pgjobs.create_events_partition('2030-01-01')",
        "SELECT pgjobs.drop_events_partition('2030-01-01')",
        "SELECT pgjobs.create_minutes_partition('2030-01-01')",
        "SELECT pgjobs.drop_minutes_partition('2030-01-01')",
        "INSERT INTO pgjobs.workers (host, pid, queues, version) VALUES ('h', 1, '{\"mail\": 1}', '1'); "
        "INSERT INTO pgjobs.broadcasts (target, within, task, payload) VALUES ('queue:mail', 1, 'a', ''), "
        "('hosts', 1, 'b', ''); SELECT * FROM pgjobs.settle_broadcasts()",
        "DELETE FROM pgjobs.workers",
        "WITH w AS (INSERT INTO pgjobs.workflows (id, name) VALUES (7, 'w')) SELECT 1; "
        "INSERT INTO pgjobs.workflow_callbacks (workflow_id, kind, queue, priority, max_attempts, task, payload)"
        " VALUES (7, 'on_failure', 'default', 5, 5, 'a:b', '')",
    ],
    ids=[
        *(
            "INSERT",
            "enqueue",
            "enqueue by name",
            "enqueue checked",
            "channel",
            "last lane",
            "batch lock",
            "ids",
            "bell",
            "ended",
            "letter",
            "make",
            "drop",
            "arm",
        ),
        *("kept", "list", "count", "select", "room", "stage", "rates", "errors", "snapshots", "queue names"),
        *("publish", "deliver", "replay", "make events", "drop events", "make minutes", "drop minutes"),
        *("broadcast", "worker leaves", "callback"),
    ],
)
def test_nothing_of_a_schema_before_pg_catalog_is_run(trapped: psycopg.Connection, statement: str) -> None:
    trapped.execute(statement.encode())


def test_the_bell_rings_all_the_same(trapped: psycopg.Connection) -> None:
    channel = trapped.execute("SELECT pgjobs.doorbell_channel('default')").fetchall()[0][0]
    assert channel == "pgjobs:c21f969b5f03d33d43e04f8f136e7682"
    with psycopg.connect(trapped.info.dsn, password=trapped.info.password, autocommit=True) as listener:
        listener.execute(f'LISTEN "{channel}"'.encode())
        trapped.execute(INSERT.encode())
        assert [notice.channel for notice in listener.notifies(timeout=5, stop_after=1)] == [channel]


def test_all_functions_are_looked_at_here(conn: psycopg.Connection) -> None:
    query = "SELECT proname FROM pg_proc WHERE pronamespace = 'pgjobs'::regnamespace ORDER BY 1"
    assert [row[0] for row in conn.execute(query)] == [
        *("add_callback", "add_steps", "add_workflow"),
        *(
            "advance_ids",
            "all_kept",
            "arm_result_bell",
            "batch_lock",
            "blocking_letters",
            "bucket_capacity",
            "bucket_tokens",
            "call_back",
            "check_callback",
            "commit_broadcast",
            "complete_history_partition",
        ),
        *(
            "count_ended",
            "create_events_partition",
            "create_history_partition",
            "create_minutes_partition",
            "create_results_partition",
            "deliver_events",
            "doorbell_channel",
            "drop_events_partition",
            "drop_history_partition",
            "drop_minutes_partition",
            "drop_results_partition",
            "end_empty_workflow",
            "end_of_lanes",
            "enqueue",
        ),
        *("enqueue_after_checks", "errors_with", "find_ended", "head_of_sequence", "held_snapshots"),
        *("history_partitions", "hold_ended"),
        *(
            "is_to_ring",
            "join_broadcasts",
            "keep_older_letter",
            "largest_id",
            "leave_broadcasts",
            "list_ended",
            "lock_unique_keys",
        ),
        *("notify_queue_has_room", "open_doorbell", "pattern_of", "publish", "publish_event"),
        *("refuse_stale_claim", "replay_events"),
        *("result", "ring", "ring_doorbell", "ring_results"),
        *("room_of_breaker", "room_of_limit", "room_of_stage", "select_ended", "settle_broadcasts", "signal"),
        *("spread_broadcasts", "stage_of_lane"),
        *("topic_matches", "topic_regex"),
    ]
