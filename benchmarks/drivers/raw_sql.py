"""The ceiling, as a driver: the SQL of enqueueing, claiming and acknowledging, and nothing around it.

A bare INSERT is one into the tables of pgjobs as they stand (columns, partitions, indexes, constraints), with the
triggers off, of rows like those of the driver for pgjobs, by a caller who has the payload already. The worker notes one
batch after another as having run when they are claimed, without looking at the payloads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from benchmarks import raw_sql
from benchmarks.drivers import database
from benchmarks.drivers.pgjobs import PgjobsDriver
from benchmarks.drivers.protocol import DATABASE_URL, serve


class Producer:
    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def one(self, number: int) -> None:
        raw_sql.insert(self.connection)

    def bulk(self, numbers: Sequence[int]) -> None:
        raw_sql.insert_many(self.connection, len(numbers))


class RawSqlDriver(PgjobsDriver):
    def setup(self) -> None:
        super().setup()
        database.execute("ALTER TABLE pgjobs.jobs_live DISABLE TRIGGER USER")

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:  # type: ignore[override]  # another kind of producer
        with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
            yield Producer(connection)

    def worker(self, configuration: str) -> None:
        if configuration == "pgjobs":  # ours, on this database
            super().worker("best")
        if configuration == "called":
            raw_sql.work(DATABASE_URL, 1000, call=True)
        raw_sql.work(DATABASE_URL, int(configuration))


if __name__ == "__main__":
    serve(RawSqlDriver())
