"""The demo's own tables, beside those of pgjobs in the same database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.demo.tasks import PING_QUEUE, QUEUE

if TYPE_CHECKING:
    import psycopg

TABLES = """
    DROP SCHEMA IF EXISTS pgjobs_demo CASCADE;
    CREATE SCHEMA pgjobs_demo;
    CREATE TABLE pgjobs_demo.documents (
        id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        path   text   NOT NULL UNIQUE,
        job_id bigint
    );
    CREATE TABLE pgjobs_demo.findings (
        document_id bigint  PRIMARY KEY REFERENCES pgjobs_demo.documents,
        lines       integer NOT NULL,
        definitions integer NOT NULL,
        imports     integer NOT NULL,
        runs        integer NOT NULL DEFAULT 1
    );
    CREATE TABLE pgjobs_demo.rolled_back (path text, job_id bigint);
    CREATE TABLE pgjobs_demo.pings (
        number  integer     PRIMARY KEY,
        sent_at timestamptz NOT NULL,
        ran_at  timestamptz NOT NULL
    );
"""


def make_tables(conn: psycopg.Connection) -> None:
    """Make the tables, and remove what an earlier demo has left in this database."""
    with conn.transaction():
        conn.execute(TABLES)
        for table in ("jobs", "dead_jobs"):
            conn.execute(f"DELETE FROM pgjobs.{table} WHERE queue = ANY (%s)", [[QUEUE, PING_QUEUE]])
