"""The SQLAlchemy tables describe what the migrations make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, MetaData, Table, create_engine, func, inspect, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import NullPool

from pgjobs import enqueue
from pgjobs.db import migrations as migrate
from pgjobs.db.url import sqlalchemy_url
from pgjobs.tables import dead_jobs, jobs, make_tables, metadata, queues, workers
from tests.support.functions import add

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's is not typed


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    yield engine
    engine.dispose()


def described(columns: list[Any]) -> dict[str, tuple[str, bool]]:
    """Return type and nullability by name; in order, because a dict keeps it. A domain is what is below its checks."""
    found = {}
    for column in columns:
        c = column if isinstance(column, dict) else vars(column)
        kind = c["type"].data_type if isinstance(c["type"], postgresql.DOMAIN) else c["type"]
        found[c["name"]] = (kind.compile(DIALECT).removesuffix(' COLLATE "default"'), c["nullable"])
    return found


@pytest.mark.parametrize("table", list(metadata.tables.values()), ids=lambda table: table.name)
def test_columns_are_those_of_the_database(engine: Engine, table: Table) -> None:
    found = described(list(inspect(engine).get_columns(table.name, schema="pgjobs")))
    assert list(described(list(table.columns)).items()) == list(found.items())


@pytest.mark.parametrize(
    "table", [table for table in metadata.tables.values() if table is not jobs], ids=lambda table: table.name
)
def test_keys_are_those_of_the_database(engine: Engine, table: Table) -> None:
    found = inspect(engine).get_pk_constraint(table.name, schema="pgjobs")["constrained_columns"]
    assert [column.name for column in table.primary_key] == found


@pytest.mark.parametrize("table", list(metadata.tables.values()), ids=lambda table: table.name)
def test_what_has_a_default_in_the_database_has_one_here(engine: Engine, table: Table) -> None:
    found = inspect(engine).get_columns(table.name, schema="pgjobs")
    with_default = {c["name"] for c in found if c["default"] is not None or c.get("identity")}
    assert {c.name for c in table.columns if c.server_default is not None} == with_default


def test_all_tables_but_the_partitions_are_there(conn: psycopg.Connection) -> None:
    rows = conn.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname <> 'migrations'"
    )
    assert {row[0] for row in rows} == {table.name for table in metadata.tables.values()}


def test_jobs_can_be_asked_for_with_sqlalchemy(engine: Engine) -> None:
    with engine.begin() as connection:
        handle = enqueue(connection, add, 1)
        due = select(jobs.c.id, jobs.c.summary).where(
            jobs.c.status == "queued", jobs.c.run_at <= func.clock_timestamp()
        )
        assert connection.execute(due).all() == [(handle.id, "add(1)")]
        for table in (dead_jobs, workers, queues):
            assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_tables_of_another_schema_are_described_in_metadata_of_ones_own(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, schema="ours")
    engine = create_engine(sqlalchemy_url(empty_database_url), poolclass=NullPool)
    mine = MetaData()
    ours = make_tables("ours", mine)
    assert set(mine.tables) == {f"ours.{table.name}" for table in metadata.tables.values()}
    with engine.begin() as connection:
        connection.execute(ours.jobs.insert().values(task="m:f", payload=b"x"))
        assert connection.scalar(select(ours.jobs.c.queue)) == "default"
