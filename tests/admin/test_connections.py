"""Every operation takes the connections that lead to psycopg, in the caller's transaction, and refuses all others."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from pgjobs import Workflow, admin, broadcast, enqueue
from pgjobs.core.errors import UsageError
from pgjobs.db.url import sqlalchemy_url
from pgjobs.flow.limits import LimitSettings
from tests.support import tasks
from tests.support.rows import put_dead, put_job, put_pipeline

OUTSIDE = ("count_unfinished", "wait_until_idle")  # of transactions
OPERATIONS: dict[str, Callable[..., Any]] = {
    name: getattr(admin, name)
    for name in admin.__all__
    if inspect.isfunction(getattr(admin, name)) and name != "migrate"
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "add_schedule": ("new", "0 9 * * *", tasks.nothing, (1, 2)),
    "auto_breaker": ("crm",),
    "begin_audit": ("ada", "pause-queue", {"queue": "mail"}),
    "cancel_jobs": ("job",),
    **dict.fromkeys(("cancel_workflow", "pause_workflow", "resume_workflow", "show_workflow"), ("workflow",)),
    "retry_workflow": ("workflow",),
    "signal_workflow": ("workflow", "go"),
    "close_breaker": ("crm",),
    "count_dead": ("dead",),
    "count_expired_dead": (1,),
    "count_further": ([],),
    "count_jobs": ("job",),
    "discard_dead": ("dead",),
    "keep_completed": ("default", False),
    "keep_dead": (7,),
    "keep_history": (5,),
    "keep_minutes": (5,),
    "end_audit": (1,),
    "list_busy_tasks": ("default",),
    "list_expired_days": (1,),
    "open_breaker": ("crm",),
    "pause_queue": ("default",),
    "pause_schedule": ("nightly",),
    **dict.fromkeys(("pause_subscription", "replay_events", "resume_subscription", "show_subscription"), ("index",)),
    **dict.fromkeys(("pause_pipeline", "show_pipeline"), ("index",)),
    "pause_task": ("shop",),
    "remove_breaker": ("crm",),
    "remove_limit": ("tenant:7",),
    "remove_pipeline": ("retired",),
    "remove_queue": ("unused",),
    "remove_schedule": ("nightly",),
    "remove_subscription": ("retired",),
    "remove_tenant_weight": ("7",),
    "replay_dead": ("dead",),
    "resume_pipeline": ("retired",),
    "resume_queue": ("unused",),
    "resume_schedule": ("nightly",),
    "resume_task": ("shop",),
    "retry_jobs": (admin.JobSelection(),),
    "run_schedule": ("nightly",),
    "set_jobs": ("job",),
    "set_arguments": ("json", [1, 2]),
    "set_limit": ("tenant:7", LimitSettings(concurrency=2)),
    "show_arguments": ("json",),
    "set_queue_aging": ("default", 60),
    "set_queue_sla": ("default", 60),
    "set_queue_limit": ("default", LimitSettings(concurrency=2)),
    "set_tenant_weight": ("7", 2.0),
    "show_breaker": ("crm",),
    "show_broadcast": ("broadcast",),
    "show_dead": ("dead",),
    "show_job": ("job",),
    "show_neighbours": ("job",),
    "show_schedule": ("nightly",),
    "wait_for_exit": ("job", 0.1),
    "why": ("job",),
}
KEYWORDS: dict[str, dict[str, Any]] = {
    "count_further": {"cap": 10},
    "end_audit": {"number": 1, "outcome": "done"},
    "set_jobs": {"priority": 1},
    "wait_until_idle": {"timeout": 0.01},
}
TABLES = (
    "jobs",
    "dead_jobs",
    "retention",
    "queues",
    "limits",
    "tenants",
    "breakers",
    "schedules",
    "paused_tasks",
    "switch",
    "workflows",
    "workflow_steps",
    "subscriptions",
    "topics",
    "pipelines",
    "pipeline_stages",
    "audit",
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    yield engine
    engine.dispose()


@contextmanager
def scoped(engine: Engine) -> Iterator[scoped_session[Session]]:
    session = scoped_session(sessionmaker(engine))
    try:
        yield session
    finally:
        session.remove()


def call(operation: Callable[..., Any], arguments: list[Any], keywords: dict[str, Any], conn: Any) -> None:
    operation(conn, *arguments, **keywords)


def calls(job: int, dead: int, workflow: int, made: int, in_json: int) -> dict[str, Callable[[Any], object]]:
    """Return for each operation a call of it that changes something, where it changes anything."""
    given = {"job": job, "dead": dead, "workflow": workflow, "broadcast": made, "json": in_json}
    found: dict[str, Callable[[Any], object]] = {}
    for name, operation in OPERATIONS.items():
        arguments = [given.get(each, each) if isinstance(each, str) else each for each in ARGUMENTS.get(name, ())]
        found[name] = partial(call, operation, arguments, KEYWORDS.get(name, {}))
    return found


def contents(conn: psycopg.Connection) -> list[Any]:
    """Return what is in the tables that operations write."""
    return [
        conn.execute(sql.SQL("SELECT t::text FROM pgjobs.{} AS t ORDER BY 1").format(sql.Identifier(name))).fetchall()
        for name in TABLES
    ]


def test_each_is_part_of_the_callers_transaction_on_each_kind_of_connection(
    database_url: str, conn: psycopg.Connection, engine: Engine
) -> None:
    assert {*ARGUMENTS, *KEYWORDS} <= OPERATIONS.keys()
    job, dead = enqueue(conn, tasks.nothing, 1, 2).id, put_dead(conn)
    flow = Workflow("of one")
    flow.add(tasks.nothing, 1, 2)
    workflow, made = enqueue(conn, flow).id, broadcast(conn, tasks.nothing, 1, 2).id
    admin.add_schedule(conn, "nightly", "0 0 * * *", tasks.nothing, (1, 2))
    admin.open_breaker(conn, "crm")
    admin.begin_audit(conn, "ada", "pause-queue", {})
    in_json = put_job(conn, payload=b"[1]")
    admin.set_limit(conn, "tenant:7", LimitSettings(concurrency=1))
    admin.pause_queue(conn, "unused")
    conn.execute(
        "INSERT INTO pgjobs.subscriptions (name, app, pattern, queue, priority, max_attempts, retired_at)"
        " VALUES ('index', 'shop', '#', 'default', 5, 1, NULL), ('retired', 'shop', '#', 'default', 5, 1, now())"
    )
    put_pipeline(conn, at_most=1)
    put_pipeline(conn, at_most=1, name="retired")
    conn.execute("UPDATE pgjobs.pipelines SET retired_at = now(), paused_at = now() WHERE name = 'retired'")
    before = contents(conn)
    with (
        psycopg.connect(database_url) as own,
        engine.connect() as connection,
        Session(engine) as session,
        scoped(engine) as scope,
    ):
        kinds: list[tuple[Any, Callable[[], Any]]] = [
            (own, lambda: own),
            (connection, lambda: connection.connection.driver_connection),
            (session, lambda: session.connection().connection.driver_connection),
            (scope, lambda: scope.connection().connection.driver_connection),
        ]
        for caller, driver in kinds:
            for name, called in calls(job, dead, workflow, made, in_json).items():
                called(caller)
                assert driver().info.transaction_status.name == ("IDLE" if name in OUTSIDE else "INTRANS"), name
                caller.rollback()
        assert contents(conn) == before
        for caller, _ in kinds:
            admin.pause_queue(caller, "mail")
            caller.commit()
            assert admin.resume_queue(conn, "mail")
        own.execute("SELECT 1")
        for name in OUTSIDE:
            with pytest.raises(UsageError, match=f"{name}: this connection is in a transaction. Commit it first"):
                OPERATIONS[name](own)


def refuse(given: object, like: str) -> None:
    for name, operation in OPERATIONS.items():
        with pytest.raises(UsageError, match=like) as raised:
            operation(given)
        message = str(raised.value)
        assert message.startswith(name)
        assert f"`with pgjobs.connect() as conn: admin.{name}(conn, …)`" in message
        assert "\n" not in message


def test_each_refuses_another_connection_and_names_the_next_step(database_url: str, engine: Engine) -> None:
    async def asynchronous() -> None:
        for driver in ("psycopg", "asyncpg"):
            made = create_async_engine(sqlalchemy_url(database_url, driver), poolclass=NullPool)
            refuse(AsyncSession(made), "is not async, and got a sqlalchemy AsyncSession: give it .* in a function")
            refuse(made.connect(), "is not async, and got a sqlalchemy AsyncConnection: give it")
        async with await psycopg.AsyncConnection.connect(database_url) as conn:
            refuse(conn, "is not async, and got a psycopg AsyncConnection: give it")
        async with AsyncSession(made) as session:
            await session.run_sync(refuse, "is not async, and got a sqlalchemy Session on an asyncpg Connection")

    asyncio.run(asynchronous())
    lite = create_engine("sqlite://")
    with Session(lite) as session:
        refuse(session, "takes a psycopg Connection, .* got a sqlalchemy Session on a sqlite3 Connection. Or give")
    lite.dispose()
    refuse(engine, "got a sqlalchemy Engine. Or give")
    refuse(database_url, "got a str. Or give")
    refuse(None, "got None. Or give")
    with pytest.raises(UsageError, match="this Session has no engine of its own, or several"):
        admin.list_queues(Session())
