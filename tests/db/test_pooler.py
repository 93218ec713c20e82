"""Connections through a pooler: nothing is set that would stay behind in a session of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgjobs.db.connection import LOCK_WITHIN, STATEMENT_TIMEOUT, STILL_WITHIN, connect, connect_hot, pinned
from tests.support.postgres import Server
from tests.support.worker import scalar
from tests.system.chaos.proxy import Proxy

THEIRS = {
    "DateStyle": "'SQL, DMY'",
    "TimeZone": "'Asia/Kolkata'",
    "bytea_output": "'escape'",
    "array_nulls": "off",
    "lock_timeout": "'1ms'",
    "default_transaction_isolation": "'serializable'",
}


@pytest.fixture(scope="module")
def pooled(server: Server) -> Iterator[str]:
    """The URL of a database with settings of others, through what looks like a pooler."""
    url = server.create(migrated=False)
    with psycopg.connect(server.url, autocommit=True) as conn:
        for name, value in THEIRS.items():
            conn.execute(f"ALTER DATABASE {conninfo_to_dict(url)['dbname']} SET {name} = {value}".encode())
    parts = urlsplit(url)
    proxy = Proxy(parts.port or 5432)
    proxy.rewrite = with_another_process
    yield urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"))
    proxy.close()
    server.drop(url)


def with_another_process(answer: bytes) -> bytes:
    """A pooler reports a process of its own (BackendKeyData)."""
    return re.sub(rb"(?s)K\x00\x00\x00\x0c....", b"K\x00\x00\x00\x0c\x00\x00\x00\x07", answer)


def test_a_session_behind_a_pooler_stays_as_others_left_it(pooled: str) -> None:
    with connect_hot(pooled, application_name="pgjobs test") as conn:
        assert conn.pooled
        shown = {name: scalar(conn, f"SHOW {name}") for name in THEIRS}
        assert shown == {name: value.strip("'") for name, value in THEIRS.items()}
        assert conn.prepare_threshold is None


def test_a_transaction_behind_a_pooler_sees_what_others_have_committed(pooled: str) -> None:
    with connect(pooled) as conn, conn.transaction():
        assert scalar(conn, "SHOW transaction_isolation") == "read committed"


def test_what_is_read_behind_a_pooler_does_not_depend_on_how_the_session_writes_it(pooled: str) -> None:
    with connect(pooled) as conn:
        (moment, data) = conn.execute(r"SELECT now(), '\x5c00ff'::bytea").fetchall()[0]
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)
        assert data == b"\\\x00\xff"


def test_a_pinned_transaction_behind_a_pooler_says_what_it_needs_and_leaves_nothing_behind(pooled: str) -> None:
    with connect_hot(pooled, application_name="pgjobs test") as conn:
        with pinned(conn):
            assert scalar(conn, "SELECT '{NULL}'::text[]") == [None]
            assert scalar(conn, "SHOW lock_timeout") == f"{LOCK_WITHIN * 1000:g}ms"
            assert scalar(conn, "SHOW statement_timeout") == f"{STATEMENT_TIMEOUT:g}s"
            assert scalar(conn, "SHOW idle_in_transaction_session_timeout") == f"{STILL_WITHIN:g}s"
        assert scalar(conn, "SHOW lock_timeout") == "1ms"
