"""`pgjobs migrate --roles`: what each role can do, and what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from pgjobs import Limit, Unique, Workflow, broadcast, enqueue, enqueue_many, publish
from pgjobs.admin import keep_history
from pgjobs.core.errors import ConfigurationError, UsageError
from pgjobs.db.roles import make_roles, role_statements, roles_of
from tests.support import functions, tasks
from tests.support.rows import count, put_worker
from tests.support.worker import drain, scalar

PASSWORD = "for the tests alone"
ROLES = roles_of("pgjobs")
Login = Iterator[str]


@contextmanager
def login(conn: psycopg.Connection, role: str) -> Iterator[str]:
    """Make a role that can log in and is a member of `role`, and give its URL."""
    name = f"test_{role}_{conn.info.backend_pid}"
    identifier = sql.Identifier(name)
    conn.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(identifier, PASSWORD, sql.Identifier(role))
    )
    try:
        yield psycopg.conninfo.make_conninfo(conn.info.dsn, user=name, password=PASSWORD)
    finally:
        conn.execute(sql.SQL("DROP ROLE {}").format(identifier))


@pytest.fixture
def with_roles(conn: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The owner's connection, after the roles were made."""
    assert make_roles(conn) == ROLES
    make_roles(conn)  # a second time is harmless
    yield conn
    for role in ROLES:
        conn.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))


def refused(conn: psycopg.Connection, *statements: LiteralString) -> None:
    for statement in statements:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement)


def test_who_may_enqueue_can_do_that_and_nothing_else(with_roles: psycopg.Connection) -> None:
    with_roles.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('default', now() + interval '1 min')")
    with_roles.execute(
        "INSERT INTO pgjobs.subscriptions (name, app, pattern, queue, priority, max_attempts)"
        " VALUES ('a:b', 'shop', '#', 'mail', 5, 5)"
    )
    with_roles.execute("INSERT INTO pgjobs.topics (pattern, app, keep) VALUES ('#', 'shop', '1 day')")
    with login(with_roles, ROLES.enqueue) as url, psycopg.connect(url, autocommit=True) as conn:
        enqueue(conn, functions.add, 1)
        enqueue_many(conn, functions.add.options(queue="mail", delay=5), [(1,), (2,)])
        conn.execute("SELECT pgjobs.enqueue('tests.support.functions:tell', '[1]')")
        turns = functions.add.options(limit=Limit("a", cost=2), sequence="b", fair_by="left", breaker="c", expires=60)
        first, *_ = enqueue(conn, turns, 1), *enqueue_many(conn, turns.options(delay=5), [(1,)])
        enqueue_many(
            conn,
            functions.add.options(unique=Unique("{left}", on_conflict="replace")),
            [(n % 3,) for n in range(2_500)],
        )
        enqueue(conn, functions.add.options(after=[first], expires=60), 1)
        conn.execute("SELECT pgjobs.enqueue('tests.support.functions:tell', '[1]', unique_key => 'x', sequence => 'y')")
        assert publish(conn, "order.placed", sequence="x") > 0
        conn.execute("SELECT pgjobs.publish('order.placed', '{}')")
        put_worker(with_roles, {"default": 1})
        broadcast(conn, functions.add, 1)
        assert count(with_roles, "broadcast_runs") == 1
        assert scalar(with_roles, "SELECT count(*) FROM pgjobs.events WHERE delivered <> '{}'") == 2
        with_roles.execute("DELETE FROM pgjobs.jobs WHERE task = 'a:b'")
        refused(
            conn,
            "SELECT name FROM pgjobs.subscriptions",
            "SELECT payload FROM pgjobs.broadcasts",
            "UPDATE pgjobs.broadcasts SET task = 'x:y'",
            "INSERT INTO pgjobs.broadcasts (target, within, task, payload, closes_at)"
            " VALUES ('hosts', 1, 'x', '', now())",
            "SELECT state FROM pgjobs.broadcast_runs",
            "SELECT pgjobs.settle_broadcasts()",
            "SELECT topic FROM pgjobs.events",
            "SELECT pgjobs.deliver_events('{1}', '{a}', '{2030-01-01}', '{NULL}', '{NULL}', '{x}', NULL)",
            "SELECT payload FROM pgjobs.jobs",
            "SELECT task FROM pgjobs.jobs_live",
            "UPDATE pgjobs.jobs SET priority = 0",
            "DELETE FROM pgjobs.jobs",
            "INSERT INTO pgjobs.jobs (task, payload, status) VALUES ('a:b', '', 'completed')",
            "INSERT INTO pgjobs.jobs (task, payload, attempt) VALUES ('a:b', '', 1)",
            "INSERT INTO pgjobs.jobs (id, task, payload) VALUES (1, 'a:b', '')",
            "INSERT INTO pgjobs.jobs_live (task, payload) VALUES ('a:b', '')",
            "INSERT INTO pgjobs.jobs_waiting (task, payload, lane, status) VALUES ('a:b', '', 'l', 'running')",
            "INSERT INTO pgjobs.jobs_waiting (task, payload, lane, needs) VALUES ('a:b', '', 'l', 0)",
            "SELECT lane FROM pgjobs.jobs_waiting",
            "SELECT * FROM pgjobs.unique_keys",
            "INSERT INTO pgjobs.unique_keys (key) VALUES ('x')",
            "INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (1, 2)",
            "SELECT * FROM pgjobs.dead_jobs",
            "SELECT * FROM pgjobs.workers",
            "UPDATE pgjobs.queues SET paused = true",
            "SELECT setval('pgjobs.jobs_id_seq', 1)",
            "SELECT setval('pgjobs.doorbell', 1)",
            "SELECT pgjobs.drop_history_partition(current_date)",
            "SELECT pgjobs.create_history_partition(current_date + 100)",
            "CREATE TABLE pgjobs.mine ()",
            "TRUNCATE pgjobs.jobs",
        )
    assert scalar(with_roles, "SELECT count(*) FROM pgjobs.jobs") == 4 + 2 + 3 + 1 + 1


INSERT = """
    INSERT INTO pgjobs.jobs_waiting (queue, run_at, task, payload, lane, limit_key, sequence, breaker)
    VALUES ('default', '1970-01-02', 'x:y', '[]', %s, %s, %s, %s)
"""
FORGED = [
    ("\x1fk\x1f\x1f", None, None, None),
    ("\x1fk\x1f\x1f", "other", None, None),
    ("\x1fk\x1f\x1f", "", None, None),
    ("\x1f\x1faccount:1\x1f", None, None, None),
    ("\x1f\x1faccount:1\x1f", None, "account:2", None),
    ("\x1f\x1f\x1fbank", None, None, None),
    ("\x1f\x1f\x1f", "k", None, None),
    ("tenant", "k", None, None),
    (None, "k", None, None),
    (None, None, "account:1", None),
    ("a\x1fk\x1fs\x1fb\x1fx", "k", "s", "b\x1fx"),
]


def test_who_may_enqueue_says_only_of_its_own_workflow_what_is_called_at_its_end(
    with_roles: psycopg.Connection,
) -> None:
    def flow() -> Workflow:
        made = Workflow("flow")
        made.add(functions.add, 1)
        made.on_completed(functions.add, 2)
        return made

    call = (
        "SELECT pgjobs.add_callback(ROW(now(), 'default', {}, 5, NULL, NULL, 'a:b', NULL)::pgjobs.enqueue_columns, "
        "NULL, {}, 'on_failure', NULL, NULL, NULL, NULL, '')"
    )
    other = enqueue(with_roles, flow()).id
    with login(with_roles, ROLES.enqueue) as url, psycopg.connect(url, autocommit=True) as conn:
        own = enqueue(conn, flow()).id
        for workflow in (other, own, 999):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"what workflow {workflow} calls"):
                conn.execute(call.format(5, workflow).encode())
        with conn.transaction():
            with conn.transaction():  # a savepoint, whose rows are the transaction's own as well
                mine = enqueue(conn, flow()).id
            with conn.transaction():
                conn.execute(call.format(9, mine).encode())
            with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
                conn.execute(call.format(10, mine).encode())
    rows = with_roles.execute("SELECT workflow_id, count(*) FROM pgjobs.workflow_callbacks GROUP BY 1 ORDER BY 1")
    assert rows.fetchall() == [(other, 1), (own, 1), (mine, 2)]


def test_who_may_enqueue_cannot_put_a_job_into_a_lane_whose_keys_it_does_not_have(
    with_roles: psycopg.Connection,
) -> None:
    with login(with_roles, ROLES.enqueue) as url, psycopg.connect(url, autocommit=True) as conn:
        for row in FORGED:
            with pytest.raises(psycopg.errors.CheckViolation) as caught:
                conn.execute(INSERT, row)
            assert caught.value.diag.constraint_name == "jobs_waiting_lane_keys_check"
        conn.execute(INSERT, ("t\x1fk\x1fs\x1fb", "k", "s", "b"))
        conn.execute(INSERT, ("\x1f\x1f\x1f", None, None, None))


def test_who_may_work_can_run_jobs_and_look_after_history(with_roles: psycopg.Connection) -> None:
    tasks.make_seen(with_roles)
    with_roles.execute(sql.SQL("GRANT ALL ON seen TO {}").format(sql.Identifier(ROLES.work)))
    keep_history(with_roles, 3)
    old = "SELECT pgjobs.create_history_partition(current_date - 5)"
    with_roles.execute(old)
    job = enqueue(with_roles, tasks.healthy, 1).id
    with login(with_roles, ROLES.work) as url:
        drain(url)
        with psycopg.connect(url, autocommit=True) as conn:
            assert scalar(conn, "SELECT status FROM pgjobs.jobs WHERE id = %s", [job]) == "completed"
            days = "SELECT count(*) FROM pg_class WHERE relname LIKE 'jobs\\_history\\_2%' AND relkind = 'r'"
            assert scalar(conn, days) > 0
            assert not scalar(
                conn, "SELECT to_regclass('pgjobs.jobs_history_' || to_char(current_date - 5, 'YYYYMMDD')) IS NOT NULL"
            )
            refused(
                conn,
                "CREATE TABLE pgjobs.mine ()",
                "DROP TABLE pgjobs.dead_jobs",
                "TRUNCATE pgjobs.jobs",
                "ALTER TABLE pgjobs.jobs_live DISABLE TRIGGER ALL",
                "UPDATE pgjobs.migrations SET version_num = '0000'",
            )


def test_who_may_read_can_look_and_nothing_else(with_roles: psycopg.Connection) -> None:
    enqueue(with_roles, functions.add, 1)
    with login(with_roles, ROLES.read) as url, psycopg.connect(url, autocommit=True) as conn:
        for table in ("jobs", "dead_jobs", "workers", "queues", "retention", "unique_keys", "dependencies"):
            conn.execute(sql.SQL("SELECT * FROM pgjobs.{}").format(sql.Identifier(table)))
        refused(
            conn,
            "INSERT INTO pgjobs.jobs (task, payload) VALUES ('a:b', '')",
            "SELECT pgjobs.enqueue('a:b')",
            "SELECT pgjobs.enqueue('a:b', sequence => 'x')",
            "SELECT pgjobs.lock_unique_keys('{x}')",
            "UPDATE pgjobs.jobs SET priority = 0",
            "DELETE FROM pgjobs.dead_jobs",
            "INSERT INTO pgjobs.queues (name) VALUES ('x')",
            "SELECT nextval('pgjobs.jobs_id_seq')",
            "SELECT pgjobs.drop_history_partition(current_date)",
            "CREATE TABLE pgjobs.mine ()",
        )


def test_who_may_read_can_dump_today_and_tomorrow(with_roles: psycopg.Connection) -> None:
    with_roles.execute("SELECT pgjobs.create_history_partition((now() AT TIME ZONE 'UTC')::date + 4)")
    unreadable = with_roles.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND CASE relkind"
        " WHEN 'S' THEN NOT has_sequence_privilege(%(role)s, oid, 'SELECT')"
        " WHEN 'r' THEN NOT has_table_privilege(%(role)s, oid, 'SELECT') END",
        {"role": ROLES.read},
    ).fetchall()
    assert unreadable == []


def test_who_is_not_a_member_can_do_nothing(with_roles: psycopg.Connection) -> None:
    stranger = f"test_stranger_{with_roles.info.backend_pid}"
    with_roles.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(stranger)))
    try:
        with login(with_roles, stranger) as url, psycopg.connect(url, autocommit=True) as conn:
            refused(conn, "SELECT 1 FROM pgjobs.jobs", "SELECT pgjobs.enqueue('a:b')")
    finally:
        with_roles.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(stranger)))


def test_who_may_not_create_roles_is_told_what_to_do(with_roles: psycopg.Connection) -> None:
    with login(with_roles, ROLES.work) as url, psycopg.connect(url, autocommit=True) as conn:
        with pytest.raises(ConfigurationError, match="--roles --sql"):
            make_roles(conn)


def test_roles_of_other_schemas_have_other_names() -> None:
    assert roles_of("mail").work == "mail_work"
    assert all("pgjobs" not in statement for statement in role_statements("mail"))
    with pytest.raises(UsageError):
        roles_of('x"; DROP')
