"""`pgjobs.connect`, `connect_async` and `database_url`: the configured database, in every form of its URL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

import pgjobs
from pgjobs.core.config import configure
from pgjobs.core.errors import ConfigurationError
from pgjobs.db.url import sqlalchemy_url


def count_marks() -> int:
    with pgjobs.connect() as conn:
        return len(conn.execute("SELECT FROM marks").fetchall())


def insert_and_fail() -> None:
    with pgjobs.connect() as conn:
        conn.execute("INSERT INTO marks DEFAULT VALUES")
        raise ZeroDivisionError


async def insert_and_fail_async() -> None:
    async with pgjobs.connect_async() as conn:
        await conn.execute("INSERT INTO marks DEFAULT VALUES")
        raise ZeroDivisionError


@pytest.fixture
def configured(database_url: str) -> str:
    configure(database_url=sqlalchemy_url(database_url))
    with pgjobs.connect() as conn:
        conn.execute("CREATE TABLE marks ()")
    return database_url


def test_connect_as_context_manager_commits_and_closes(configured: str) -> None:
    with pgjobs.connect() as conn:
        assert not conn.autocommit
        conn.execute("INSERT INTO marks DEFAULT VALUES")

    assert conn.closed
    assert count_marks() == 1


def test_connect_after_an_exception_rolls_back(configured: str) -> None:
    with pytest.raises(ZeroDivisionError):
        insert_and_fail()

    assert count_marks() == 0


def test_connect_with_autocommit_commits_each_statement(configured: str) -> None:
    with pgjobs.connect(autocommit=True) as conn:
        conn.execute("INSERT INTO marks DEFAULT VALUES")
        assert count_marks() == 1


def test_connect_async_entered_or_awaited_connects(configured: str) -> None:
    async def run() -> None:
        async with pgjobs.connect_async() as conn:
            assert not conn.autocommit
            await conn.execute("INSERT INTO marks DEFAULT VALUES")
        assert conn.closed
        with pytest.raises(ZeroDivisionError):
            await insert_and_fail_async()
        conn = await pgjobs.connect_async(autocommit=True)
        await conn.execute("INSERT INTO marks DEFAULT VALUES")
        await conn.close()

    asyncio.run(run())
    assert count_marks() == 2


def test_database_url_is_in_sqlalchemy_s_form_for_the_driver(configured: str) -> None:
    engine = create_engine(pgjobs.database_url(), poolclass=NullPool)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM marks")) == 0
    assert pgjobs.database_url("asyncpg").startswith("postgresql+asyncpg://")


def test_without_a_setting_the_embedded_postgresql_of_the_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".pgjobs").mkdir()
    (tmp_path / ".pgjobs" / "url").write_text("postgresql://postgres:secret@127.0.0.1:1/postgres")

    assert pgjobs.database_url() == "postgresql+psycopg://postgres:secret@127.0.0.1:1/postgres"
    with pytest.raises(ConfigurationError) as caught:
        pgjobs.connect()
    assert "127.0.0.1:1/postgres" in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        asyncio.run(_enter())


async def _enter() -> psycopg.AsyncConnection:
    return await pgjobs.connect_async()


def test_without_any_database_the_error_names_both_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (pgjobs.database_url, pgjobs.connect):
        with pytest.raises(ConfigurationError, match=r"PGJOBS_DATABASE_URL.*embedded"):
            call()
