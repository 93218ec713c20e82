"""Calls that mypy and pyright refuse: each line marked as wrong, and no other."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import psycopg
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from pgjobs import (
    Batch,
    CurrentJob,
    JobHandle,
    Sequence,
    Unique,
    Workflow,
    broadcast,
    complete,
    enqueue,
    enqueue_many,
    follow,
    job,
    pipeline,
    publish,
    result,
    results,
    schedule,
    subscribe,
)
from pgjobs.hooks import NewJob, around_job, on_enqueue, on_outcome, on_worker_start


@job(queue="mail")
def send_receipt(order_id: int, *, copy: bool = False) -> str:
    return f"{order_id} {copy}"


@job
async def fetch(url: str) -> bytes:
    return url.encode()


def plain(text: str, times: int = 1) -> str:
    return text * times


class Mailer:
    @job
    def send(self, to: str) -> None: ...


@subscribe("order.*")  # wrong
def takes_text(event: str) -> None: ...


def events(conn: psycopg.Connection) -> None:
    publish(conn, 7)  # wrong
    publish(conn, "order.placed", sequence=7)  # wrong
    publish("order.placed")  # wrong
    subscribe("order.*", on_failure="stop")  # wrong
    subscribe("order.*", unique="x")  # wrong


def broadcasts(conn: psycopg.Connection) -> None:
    broadcast(conn, plain, 1)  # wrong
    broadcast(conn, plain, "a", late="never")  # wrong
    broadcast(conn, "plain")  # wrong


def arguments(conn: psycopg.Connection, session: Session, mailer: Mailer) -> None:
    enqueue(conn, send_receipt, "42")  # wrong
    enqueue(conn, send_receipt)  # wrong
    enqueue(conn, send_receipt, 42, True)  # wrong
    enqueue(conn, send_receipt, 42, kopy=True)  # wrong
    enqueue(session, send_receipt, 42, copy="yes")  # wrong
    enqueue(session, send_receipt.options(delay=60), "42")  # wrong
    enqueue(conn, plain, 1)  # wrong
    enqueue(conn, plain, "a", "b")  # wrong
    enqueue(conn, fetch, 1)  # wrong
    enqueue(conn, os.path.getsize)  # wrong
    enqueue(conn, mailer.send, 1)  # wrong
    enqueue(conn, send_receipt(42))  # wrong
    send_receipt("42")  # wrong


@job(transaction=True)
def book(conn: psycopg.Connection, order_id: int) -> None: ...


def transactions(conn: psycopg.Connection, session: Session) -> None:
    enqueue(conn, book, "42")  # wrong
    enqueue(conn, book)  # wrong
    enqueue(conn, book.options(delay=60), 42, 43)  # wrong
    book(42)  # wrong
    book(session, 42)  # wrong
    complete(conn, 5)  # wrong


@job(transaction=True)  # wrong
def without_connection(order_id: int) -> None: ...
@job(batch=Batch(100))
def index(texts: list[str]) -> None: ...


@job(batch=Batch(100), transaction=True)
def store(conn: psycopg.Connection, texts: list[str]) -> None: ...


def batches(conn: psycopg.Connection) -> None:
    enqueue(conn, store, 1)  # wrong
    enqueue(conn, index, 1)  # wrong
    enqueue(conn, index, "a", "b")  # wrong
    enqueue(conn, index)  # wrong
    index("a")  # wrong
    index([1])  # wrong
    Batch(100, wait="soon")  # wrong


def many(conn: psycopg.Connection) -> None:
    enqueue_many(conn, plain, [1, 2])  # wrong
    enqueue_many(conn, plain, ["a", "b"])  # wrong
    enqueue_many(conn, plain, "ab")  # wrong


def options() -> None:
    send_receipt.options(priority="high")  # wrong
    send_receipt.options(delay="soon")  # wrong
    send_receipt.options(backoff=3)  # wrong
    send_receipt.options(executor="gpu")  # wrong
    send_receipt.options(unique=3)  # wrong
    send_receipt.options(unique=Unique("x", on_conflict="ignore"))  # wrong
    send_receipt.options(on_conflict="skip")  # wrong
    send_receipt.options(after="3")  # wrong
    send_receipt.options(breaker=3)  # wrong
    send_receipt.options(limit=None, expires="soon")  # wrong
    send_receipt.options(limit=3)  # wrong
    send_receipt.options(dely=3)  # wrong
    Sequence("a", on_failure="stop")  # wrong
    Unique.by("nonsense")  # wrong
    job("mail")  # wrong
    job(priority="high")  # wrong
    job(limit_key="a")  # wrong
    job(delay=3)  # wrong


def connections(engine: Engine, cursor: psycopg.Cursor[tuple[int]]) -> None:
    enqueue(engine, plain, "a")  # wrong
    enqueue(cursor, plain, "a")  # wrong
    enqueue("postgresql://localhost/shop", plain, "a")  # wrong
    enqueue(plain, "a")  # wrong


async def awaiting(conn: psycopg.AsyncConnection, session: AsyncSession, sync: Session) -> None:
    handle: JobHandle[str] = enqueue(conn, plain, "a")  # wrong
    print(enqueue(session, plain, "a").id)  # wrong
    await enqueue(session, send_receipt, "42")  # wrong
    await enqueue(sync, plain, "a")  # wrong
    enqueue(session, plain, "a")  # wrong
    await enqueue(session, plain, "a")
    print(handle)


def waits(engine: Engine, session: Session) -> None:
    number: int = result(engine, enqueue(session, send_receipt, 42))  # wrong
    numbers: list[int] = results(engine, enqueue_many(session, send_receipt, [(42,)]))  # wrong
    result(engine, "7")  # wrong
    follow(engine, "7")  # wrong
    result("postgresql://localhost/shop", 7)  # wrong
    job(result="1 h")  # wrong
    print(number, numbers)


def schedules() -> None:
    schedule("0 9 * * *", plain)  # wrong
    schedule("0 9 * * *", plain, args=(1,))  # wrong
    schedule("0 9 * * *", send_receipt, args=("42",))  # wrong
    schedule("0 9 * * *", plain, args="a")  # wrong
    schedule("0 9 * * *", functools.partial(plain, 1))  # wrong
    schedule("0 9 * * *", plain, args=("a",), missed="never")  # wrong
    schedule("0 9 * * *", plain, args=("a",), timezone="UTC")  # wrong


def number(_: NewJob) -> int:
    return 1


def no_manager(_: CurrentJob) -> None: ...


def hooks() -> None:
    on_enqueue(number)  # wrong
    around_job(no_manager)  # wrong
    on_outcome(number)  # wrong
    on_worker_start(number)  # wrong
    schedule("0 9 * * *", plain, args=("a",), meta="ops")  # wrong


def workflows(session: Session) -> None:
    flow = Workflow("import")
    text = flow.add(send_receipt, 42)
    flow.add(send_receipt, "42")  # wrong
    flow.add(send_receipt, text.result)  # wrong
    flow.map(send_receipt, ["42"])  # wrong
    flow.map(send_receipt, text)  # wrong
    flow.add(plain, flow.map(send_receipt, [42]).results)  # wrong
    text.results  # noqa: B018  # wrong
    enqueue(session, flow, 1)  # wrong
    print(text)


@job
def yields_texts(number: int) -> Iterator[str]:
    yield str(number)


@job
def takes_int(number: int) -> None: ...


def pipelines(conn: psycopg.Connection) -> None:
    send_receipt >> takes_int  # wrong
    fetch >> send_receipt  # wrong
    yields_texts >> takes_int  # wrong
    yields_texts >> fetch >> takes_int  # wrong
    send_receipt >> book  # wrong
    pipeline("receipts", takes_int)  # wrong
    receipts = pipeline("receipts", send_receipt >> fetch)
    enqueue(conn, receipts, "42")  # wrong
    pipeline("receipts", send_receipt >> fetch, at_most="many")  # wrong
