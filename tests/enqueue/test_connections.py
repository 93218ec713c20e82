"""Peculiarities of some connections: what they were told to do otherwise does not reach the jobs."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row
from sqlalchemy import Engine, Integer, create_engine, event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import NullPool

from pgjobs import EnqueueError, enqueue, enqueue_many
from pgjobs.db.url import sqlalchemy_url
from tests.support.callers import KINDS
from tests.support.functions import add


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


class Orders2(Base):
    __tablename__ = "orders2"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


@pytest.fixture
def engine(database_url: str) -> Engine:
    return create_engine(sqlalchemy_url(database_url), poolclass=NullPool)


def count(conn: psycopg.Connection) -> int:
    row = conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone()
    assert row is not None
    return int(row[0])


# -- psycopg ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_factory", [dict_row, namedtuple_row])
def test_the_row_factory_of_a_connection_does_not_matter(conn: psycopg.Connection[Any], row_factory: Any) -> None:
    conn.row_factory = row_factory
    assert enqueue(conn, add, 1).id == enqueue_many(conn, add, [(1,)])[0].id - 1


@pytest.mark.parametrize("cursor_factory", [psycopg.ClientCursor, psycopg.RawCursor, psycopg.ServerCursor])
def test_the_cursor_factory_of_a_connection_does_not_matter(conn: psycopg.Connection[Any], cursor_factory: Any) -> None:
    conn.cursor_factory = cursor_factory
    assert enqueue(conn, add, 1).id == enqueue_many(conn, add, [(1,)])[0].id - 1


def test_ids_come_back_in_order_in_pipeline_mode(conn: psycopg.Connection) -> None:
    with conn.pipeline(), conn.transaction():
        handles = [enqueue(conn, add, 1), *enqueue_many(conn, add, [(2,), (3,)])]
    ids = [row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs ORDER BY id").fetchall()]
    assert [handle.id for handle in handles] == ids


def test_a_connection_without_prepared_statements_enqueues(conn: psycopg.Connection) -> None:
    conn.prepare_threshold = None
    assert len({enqueue(conn, add, 1).id for _ in range(10)}) == 10


def test_a_subclass_of_a_connection_enqueues(database_url: str, conn: psycopg.Connection) -> None:
    class Ours(psycopg.Connection[tuple[Any, ...]]):
        pass

    with Ours.connect(database_url) as ours:
        enqueue(ours, add, 1)
    assert count(conn) == 1


def test_a_failed_transaction_says_what_psycopg_says(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1 / 0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            enqueue(conn, add, 1)
        conn.rollback()


# -- SQLAlchemy ------------------------------------------------------------------------------------------------------


def test_a_session_is_not_flushed(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Order(id=1))  # flushing it would fail: there is no such table
        enqueue(session, add, 1)
        enqueue_many(session, add, [(1,)])
        assert len(session.new) == 1


def test_an_async_session_is_not_flushed(database_url: str) -> None:
    async def main() -> None:
        engine = create_async_engine(sqlalchemy_url(database_url), poolclass=NullPool)
        async with async_sessionmaker(engine)() as session:
            session.add(Order(id=1))
            await enqueue(session, add, 1)
            await enqueue_many(session, add, [(1,)])
            assert len(session.new) == 1

    asyncio.run(main())


def test_nothing_is_committed(engine: Engine) -> None:
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)
    with Session(engine) as session:
        enqueue(session, add, 1)
        enqueue_many(session, add, [(1,)])
        assert commits == []
        session.commit()
        assert len(commits) == 1


def test_the_sessions_own_connection_is_used(engine: Engine) -> None:
    connects: list[object] = []
    event.listen(engine, "connect", lambda *_: connects.append(1))
    with Session(engine) as session, session.begin():
        session.execute(text("SELECT 1"))
        enqueue(session, add, 1)
        assert session.scalar(text("SELECT count(*) FROM pgjobs.jobs")) == 1
    assert len(connects) == 1


def test_a_connection_that_streams_its_results_enqueues(engine: Engine, conn: psycopg.Connection) -> None:
    with engine.connect().execution_options(stream_results=True, yield_per=10) as connection, connection.begin():
        enqueue(connection, add, 1)
        enqueue_many(connection, add, [(1,)])
    assert count(conn) == 2


def test_a_session_made_by_a_sessionmaker_enqueues(engine: Engine, conn: psycopg.Connection) -> None:
    with sessionmaker(engine).begin() as session:
        enqueue(session, add, 1)
    assert count(conn) == 1


def test_a_session_on_a_connection_enqueues(engine: Engine, conn: psycopg.Connection) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, join_transaction_mode="create_savepoint") as session, session.begin():
            enqueue(session, add, 1)
        transaction.rollback()
    assert count(conn) == 0


def test_a_session_without_an_engine_is_refused() -> None:
    with Session() as session, pytest.raises(EnqueueError, match="not clear where the job goes"):
        enqueue(session, add, 1)


def test_a_session_with_several_engines_is_refused_and_its_connection_is_not(
    engine: Engine, conn: psycopg.Connection
) -> None:
    lite = create_engine("sqlite://")
    with Session(binds={Order: engine, Orders2: lite}) as session:
        with pytest.raises(EnqueueError, match="bind_arguments"):
            enqueue(session, add, 1)
        enqueue(session.connection(bind_arguments={"mapper": Order}), add, 1)
        session.commit()
    lite.dispose()
    assert count(conn) == 1


def test_another_database_is_refused() -> None:
    engine = create_engine("sqlite://")
    with Session(engine) as session, pytest.raises(EnqueueError, match="a connection to sqlite"):
        enqueue(session, add, 1)
    with engine.connect() as connection, pytest.raises(EnqueueError, match="a connection to sqlite"):
        enqueue_many(connection, add, [(1,)])
    engine.dispose()


# -- What is not a connection ----------------------------------------------------------------------------------------


class _Pool:
    pass


_Pool.__module__ = "psycopg_pool.base"
_Pool.__name__ = "BasePool"


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (None, "cannot enqueue on None: pass a SQLAlchemy Session"),
        (create_engine("postgresql+psycopg://"), "with engine.begin"),
        (create_async_engine("postgresql+psycopg://"), "async with engine.begin"),
        (sessionmaker(), "with make_session.begin"),
        (async_sessionmaker(), "async with make_session.begin"),
        (_Pool(), "with pool.connection"),
        ("postgresql://localhost/shop", "a URL is not enough"),
        ("a sentence.", "a URL is not enough"),
        (
            "shop.tasks.remind",
            r"enqueue\(conn, remind, …\), after `from shop.tasks import remind`\.$",
        ),
        ("tasks:remind", r"the connection goes first.*enqueue\(conn, remind, …\), after `from tasks import remind`\.$"),
        (add, "the connection goes first: enqueue\\(conn, add, …\\)"),
        (len, "the connection goes first: enqueue\\(conn, len, …\\)"),
        (sqlite3, "cannot enqueue on a module: pass a SQLAlchemy Session"),
    ],
)
def test_what_to_pass_instead_is_said(wrong: Any, advice: str) -> None:
    with pytest.raises(EnqueueError, match=advice) as caught:
        enqueue(wrong, add, 1)
    assert "\n" not in str(caught.value)
    with pytest.raises(EnqueueError, match=advice):
        enqueue_many(wrong, add, [(1,)])


def test_a_cursor_is_refused_with_what_to_pass(conn: psycopg.Connection) -> None:
    with conn.cursor() as cursor, pytest.raises(EnqueueError, match=r"cursor\.connection"):
        enqueue(cursor, add, 1)  # type: ignore[call-overload]  # wrong on purpose


# -- A forgotten await -----------------------------------------------------------------------------------------------


async def forgets(conn: Any) -> None:
    with pytest.warns(
        RuntimeWarning, match=r"^enqueue\(\) of .*:add was not awaited, so .*: write `await enqueue\(…\)`"
    ) as told:
        enqueue(conn, add, 1)
    assert [each.filename for each in told] == [__file__]
    with pytest.warns(RuntimeWarning, match=r"^enqueue_many\(\) of .*:add was not awaited"):
        enqueue_many(conn, add, [(1,)])
    with (
        pytest.warns(RuntimeWarning, match="was not awaited"),
        pytest.raises(AttributeError, match=r"no id before it is awaited: `handle = await enqueue\(…\)`"),
    ):
        enqueue(conn, add, 1).id  # noqa: B018 (an assert would keep it alive)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "sync" in kind])
def test_a_forgotten_await_is_told_and_its_transaction_of_sqlalchemy_does_not_commit(
    kind: str, database_url: str, conn: psycopg.Connection
) -> None:
    async def main() -> None:
        async with KINDS[kind](database_url) as caller:
            note = "INSERT INTO pgjobs.tenants VALUES ('forgotten', 2)"
            await caller.conn.execute(note if kind.startswith("psycopg") else text(note))
            await forgets(caller.conn)
            if not kind.startswith("psycopg"):
                with pytest.raises(EnqueueError, match=r"enqueue\(\) of .*:add was not awaited"):
                    await caller.commit()
            await caller.rollback()
            enqueue(caller.conn, add, 1).close()  # given up on purpose
            await asyncio.gather(enqueue(caller.conn, add, 1))
            handles = await asyncio.create_task(enqueue_many(caller.conn, add, [(1,), (2,)]))
            assert handles[1].id
            await caller.commit()
            await enqueue(caller.conn, add, 1)
            await caller.commit()

    asyncio.run(main())
    assert count(conn) == 4
    assert conn.execute("SELECT FROM pgjobs.tenants").fetchall() == []
