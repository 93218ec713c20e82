"""Databases that are not in UTF-8: a summary never fails an enqueue, and shows what the database has characters for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.db import migrations as migrate
from pgjobs.db.adapters.encoding import encoding_between_ends, storable
from pgjobs.payload.encoder import encoder_for
from pgjobs.payload.pickling import load
from tests.support.callers import KINDS, settled
from tests.support.functions import plain
from tests.support.postgres import Server

Opened = Callable[[str], Any]
COLUMNS = encoder_for(plain).columns
# Python's EUC_JP has the last two characters, and PostgreSQL's has not.
TEXTS = ["abc", "Grüße", "世界", "x" * 1000, "世" * 1000, "€ ¤ ß \x81 \x00 \ud800", "¢ ‖"]


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def opened(request: pytest.FixtureRequest) -> Opened:
    kind: Opened = request.param
    return kind


@pytest.fixture(params=["LATIN1", "EUC_JP", "UTF8"], scope="module")
def database(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    url = server.create(migrated=False, encoding=request.param)
    migrate.upgrade(url)
    yield url, request.param
    server.drop(url)


def summaries(url: str) -> list[str]:
    with psycopg.connect(url, client_encoding="utf8") as conn:
        return [text for (text,) in conn.execute("SELECT summary FROM pgjobs.jobs ORDER BY id")]


def test_any_text_is_enqueued_with_a_summary_in_the_characters_that_the_database_has(
    opened: Opened, database: tuple[str, str]
) -> None:
    url, encoding = database
    with psycopg.connect(url) as conn:
        conn.execute("TRUNCATE pgjobs.jobs")

    async def main() -> None:
        async with opened(url) as caller:
            for text in TEXTS:
                await settled(enqueue(caller.conn, plain, text))
            await settled(enqueue_many(caller.conn, plain, [(text,) for text in TEXTS]))
            await caller.commit()

    asyncio.run(main())
    found = summaries(url)
    assert found[: len(TEXTS)] == found[len(TEXTS) :]
    assert all(len(summary) <= 200 for summary in found)
    assert found[0] == "plain('abc')"
    assert found[1] in ("plain('Grüße')", r"plain('Gr\xfc\xdfe')")
    assert found[2] in ("plain('世界')", r"plain('\u4e16\u754c')")
    assert found[3] == f"plain('{'x' * 60}'...)"
    if encoding == "UTF8":
        assert found[1:3] == ["plain('Grüße')", "plain('世界')"]
    with psycopg.connect(url) as conn:
        payloads = conn.execute("SELECT payload FROM pgjobs.jobs ORDER BY id").fetchall()
    assert [load(payload)() for (payload,) in payloads] == 2 * TEXTS, "the arguments are whole"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("LATIN1", r"plain('Grüße, \u4e16\u754c')"),
        ("EUC_JP", "plain('Grüße, 世界')"),
        ("SQL_ASCII", r"plain('Gr\xfc\xdfe, \u4e16\u754c')"),
    ],
)
def test_psycopg_keeps_the_characters_that_the_database_has(server: Server, encoding: str, expected: str) -> None:
    url = server.create(migrated=False, encoding=encoding)
    try:
        migrate.sql(output=(statements := StringIO()))  # SQLAlchemy cannot talk to all of them
        with psycopg.connect(url) as conn:
            conn.execute(statements.getvalue().encode())
            enqueue(conn, plain, "Grüße, 世界")
            conn.commit()
        assert summaries(url) == [expected]
    finally:
        server.drop(url)


@pytest.mark.parametrize("client", ["LATIN1", "SQL_ASCII", "WIN1252", "UTF8"])
def test_a_connection_in_another_encoding_than_its_database_is_not_a_reason_to_fail(
    database_url: str, client: str
) -> None:
    with psycopg.connect(database_url, client_encoding=client) as conn:
        for text in TEXTS:
            enqueue(conn, plain, text)
    assert len(summaries(database_url)) == len(TEXTS)


def test_nothing_is_asked_where_all_is_ascii_and_nothing_changed_in_utf8(conn: psycopg.Connection) -> None:
    class Untouchable:
        def __getattribute__(self, name: str) -> Any:
            raise SystemExit

    for values in ({"summary": "plain(1)"}, {"summary": None}, {"summaries": ["plain(1)", None]}):
        assert storable(COLUMNS, values, Untouchable()) == {**COLUMNS._asdict(), **values}
    for values in ({"summary": "世"}, {"summaries": ["世", None]}):
        assert storable(COLUMNS, values, conn) == {**COLUMNS._asdict(), **values}


def test_of_an_unknown_driver_ascii_is_expected() -> None:
    assert encoding_between_ends(object()).codec == "ascii"
    assert storable(COLUMNS, {"summary": "ß"}, None)["summary"] == r"\xdf"
