"""Calls that mypy and pyright accept. Nothing here is run."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_type

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from pgjobs import (
    Batch,
    BroadcastHandle,
    CurrentJob,
    DuplicateJobError,
    Event,
    ExponentialBackoff,
    Job,
    JobHandle,
    Limit,
    Outcomes,
    Pipeline,
    Progress,
    Schedule,
    Sequence,
    Step,
    Unique,
    Workflow,
    WorkflowHandle,
    as_completed,
    broadcast,
    complete,
    current_job,
    enqueue,
    enqueue_many,
    follow,
    job,
    pipeline,
    progress,
    publish,
    result,
    results,
    schedule,
    signal,
    sleep,
    subscribe,
    wait_for,
)
from pgjobs.hooks import NewJob, around_job, on_enqueue, on_outcome


@job
def bare(number: int) -> str:
    return str(number)


@job(
    queue="mail",
    priority=3,
    max_attempts=5,
    timeout=timedelta(minutes=1),
    backoff=ExponentialBackoff(base=1),
    retry_on=(OSError,),
)
def send_receipt(order_id: int, *, copy: bool = False) -> str:
    return f"{order_id} {copy}"


@job(executor="async", backoff=2.5, give_up_on=ValueError)
async def fetch(url: str) -> bytes:
    return url.encode()


@job(transaction=True, result=True)
def book(conn: psycopg.Connection, order_id: int, *, note: str = "") -> str:
    return f"{order_id}{note}"


@job(queue="mail", transaction=True)
def book_in_session(session: Session, order_id: int) -> None: ...


@job(transaction=True)
async def book_later(session: AsyncSession, order_id: int) -> bytes:
    return b""


@job(transaction=False)
def without(conn: int) -> None: ...


def transactions(conn: psycopg.Connection, session: Session) -> None:
    assert_type(enqueue(conn, book, 42), JobHandle[str])
    assert_type(enqueue(session, book.options(delay=60), 42, note="x"), JobHandle[str])
    assert_type(enqueue(conn, book_later, order_id=42), JobHandle[bytes])
    assert_type(enqueue_many(conn, book, [(1,), (2,)]), list[JobHandle[str]])
    assert_type(book(conn, 42, note="x"), str)
    assert_type(result(session, enqueue(session, book, 42)), str)
    enqueue(conn, book_in_session, 42)
    enqueue(conn, without, 42)
    book_in_session(session, order_id=42)
    schedule("0 9 * * *", book, args=(42,))
    schedule("0 9 * * *", book_in_session, kwargs={"order_id": 42})


async def transactions_async(conn: psycopg.AsyncConnection, session: AsyncSession) -> None:
    assert_type(await enqueue(conn, book, 42), JobHandle[str])
    assert_type(await enqueue(session, book_later, 42), JobHandle[bytes])
    assert_type(await book_later(session, 42), bytes)
    await complete(conn)
    await complete(session, result=[1])


class Wrapper:
    """As Django's DatabaseWrapper is, to those who have its types."""

    alias = "default"
    in_atomic_block = True

    def ensure_connection(self) -> None: ...
    def validate_thread_sharing(self) -> None: ...


def in_django(connection: Wrapper) -> None:
    assert_type(enqueue(connection, send_receipt, 42), JobHandle[str])
    complete(connection, result=1)


class Named:
    name = "stripe"


@job(
    limit=Limit("a:{number}", cost="number"),
    fair_by="number",
    sequence=Sequence("s", on_failure="skip"),
    breaker=Named(),
    expires=5,
)
def controlled(number: int) -> None: ...


@job(unique=Unique.by("args", "queue", until="started", on_conflict="replace"), expires=1.5, breaker="stripe")
def once(number: int) -> None: ...


@dataclass
class Doc:
    title: str


@job(batch=Batch(100, wait=0.5, by="{title}"), queue="search")
def index(docs: list[Doc]) -> None: ...


@job(batch=Batch(100), result=True)
def embed(docs: list[Doc]) -> list[float]:
    return [float(len(doc.title)) for doc in docs]


@job(batch=Batch(100))
async def index_async(docs: list[Doc]) -> Outcomes | None:
    return Outcomes(retry={0: "busy"}) if docs else None


@job(batch=Batch(100), transaction=True)
def store(conn: psycopg.Connection, docs: list[Doc]) -> None: ...


def batches(conn: psycopg.Connection) -> None:
    assert_type(enqueue(conn, store, Doc("a")), JobHandle[None])
    assert_type(enqueue(conn, index, Doc("a")), JobHandle[None])
    assert_type(enqueue(conn, embed, Doc("a")), JobHandle[float])
    assert_type(enqueue(conn, embed.options(delay=3), Doc("a")), JobHandle[float])
    assert_type(enqueue(conn, index_async, Doc("a")), JobHandle[None])
    assert_type(enqueue_many(conn, embed, [(Doc("a"),)]), list[JobHandle[float]])
    assert_type(embed([Doc("a")]), list[float])
    index([Doc("a")])


def plain(text: str, times: int = 1) -> str:
    return text * times


class Mailer:
    @job
    def send(self, to: str) -> None: ...

    @staticmethod
    @job
    def check(to: str) -> bool:
        return bool(to)


def sync_kinds(
    session: Session, scoped: scoped_session[Session], connection: Connection, conn: psycopg.Connection
) -> None:
    assert_type(enqueue(session, send_receipt, 42, copy=True), JobHandle[str])
    assert_type(enqueue(scoped, send_receipt, 42), JobHandle[str])
    assert_type(enqueue(connection, send_receipt, order_id=42), JobHandle[str])
    assert_type(enqueue(conn, send_receipt, 42), JobHandle[str])
    assert_type(enqueue_many(conn, send_receipt, [(1,), (2,)]), list[JobHandle[str]])
    assert_type(enqueue_many(session, plain, ({"text": str(n)} for n in range(3))), list[JobHandle[str]])


async def async_kinds(
    session: AsyncSession,
    scoped: async_scoped_session[AsyncSession],
    connection: AsyncConnection,
    conn: psycopg.AsyncConnection,
) -> None:
    assert_type(await enqueue(session, fetch, "https://example.org"), JobHandle[bytes])
    assert_type(await enqueue(scoped, fetch, "https://example.org"), JobHandle[bytes])
    assert_type(await enqueue(connection, send_receipt, 42), JobHandle[str])
    assert_type(await enqueue(conn, send_receipt, 42, copy=False), JobHandle[str])
    assert_type(await enqueue_many(conn, send_receipt, [(1,), (2,)]), list[JobHandle[str]])


def callables(conn: psycopg.Connection, at: datetime, mailer: Mailer) -> None:
    enqueue(conn, bare, 1)
    enqueue(conn, plain, "a")
    enqueue(conn, plain, "a", times=2)
    enqueue(conn, fetch, "https://example.org")
    enqueue(conn, os.path.getsize, "/etc/hostname")
    enqueue(conn, functools.partial(plain, "a"), times=2)
    enqueue(conn, Mailer)
    enqueue(conn, mailer.send, "a@example.org")
    enqueue(conn, Mailer.check, "a@example.org")
    enqueue(conn, "text".upper)
    enqueue(conn, send_receipt.options(delay=60, priority=0, queue="vip"), 42, copy=True)
    enqueue(conn, send_receipt.options(run_at=at, timeout=None, executor="process", summary=False), 42)


def flow(conn: psycopg.Connection, at: datetime) -> None:
    first = enqueue(conn, controlled.options(limit=None, expires=at, unique=Unique("x", until=60)), 1)
    assert_type(first.conflict, bool)
    enqueue(conn, once.options(after=[first, 7], if_failed="cancel", unique=Unique("x", on_conflict="raise")), 1)
    enqueue(conn, once.options(after=enqueue_many(conn, once, [(1,)])), 1)


def caught(error: DuplicateJobError) -> None:
    assert_type(error.id, int | None)


def still_the_function() -> None:
    assert_type(send_receipt(42, copy=True), str)
    assert_type(bare(1), str)
    as_a_job: Job[[int], str] = bare
    assert_type(as_a_job.options(delay=timedelta(seconds=1))(1), str)


async def still_the_coroutine_function() -> None:
    assert_type(await fetch("https://example.org"), bytes)


@subscribe("order.*", queue="mail", limit=Limit("crm", concurrency=2))
def receipt(event: Event) -> str:
    return event.topic


@subscribe("order.*", on_failure="skip", expires=timedelta(hours=1))
async def count(event: Event) -> None: ...


def events(conn: psycopg.Connection, session: Session) -> None:
    assert_type(receipt(Event("order.placed", {"id": 42})), str)
    assert_type(publish(conn, "order.placed", {"id": 42}), int)
    publish(session, "order.placed", sequence="order:42")


def broadcasts(conn: psycopg.Connection, session: Session, engine: Engine) -> None:
    handle = broadcast(conn, send_receipt, 42, on="hosts", late="skip", within=timedelta(seconds=5))
    assert_type(handle, BroadcastHandle[str])
    assert_type(results(engine, handle, timeout=3), list[str])
    assert_type(broadcast(session, fetch, "https://example.org"), BroadcastHandle[bytes])
    broadcast(conn, plain, "a")
    broadcast(conn, plain, "a", 2)
    broadcast(conn, functools.partial(plain, "a", times=2))


async def broadcasts_async(conn: AsyncSession, engine: AsyncEngine) -> None:
    handle = await broadcast(conn, bare, 1)
    assert_type(handle, BroadcastHandle[str])
    assert_type(await results(engine, handle), list[str])


async def events_async(conn: AsyncSession, other: AsyncConnection) -> None:
    assert_type(await publish(conn, "order.placed", [1]), int)
    assert_type(await publish(other, "order.placed", [1]), int)


def schedules() -> None:
    assert_type(schedule("0 9 * * MON-FRI", Mailer, tz="Europe/Berlin"), Schedule)
    schedule("0 9 * * *", bare, args=(1,), missed="all", overlap="skip")
    schedule("0 9 * * *", plain, args=("a", 2), name="two of them")
    schedule("0 9 * * *", plain, args=("a",))
    schedule("0 9 * * *", send_receipt.options(queue="vip"), args=(42,))
    schedule("0 9 * * *", send_receipt, args=(42,), kwargs={"copy": True})
    schedule("0 9 * * *", functools.partial(fetch, "https://example.org"))


@around_job
@contextmanager
def around(_: CurrentJob) -> Iterator[None]:
    yield


@around_job
@asynccontextmanager
async def around_later(_: CurrentJob) -> AsyncIterator[None]:
    yield


@on_enqueue
def add(new: NewJob) -> dict[str, str] | None:
    return {"task": new.task}


@on_outcome
@on_enqueue
def look(_: object) -> None: ...


def hooks() -> None:
    assert_type(add(NewJob("a:b", "default", 5, {})), dict[str, str] | None)
    schedule("0 9 * * *", bare, args=(1,), meta={"by": "ops"})


def waits(engine: Engine, session: Session, handle: JobHandle[str], some: list[JobHandle[bytes]]) -> None:
    assert_type(result(engine, handle, timeout=timedelta(seconds=3)), str)
    assert_type(result(session, enqueue(session, send_receipt, 42)), str)
    assert_type(result(session, enqueue(session, fetch, "https://example.org")), bytes)
    assert_type(result(engine, 7), Any)
    assert_type(results(engine, some), list[bytes])
    assert_type(progress(engine, handle), Progress | None)
    assert_type(progress(session, 7), Progress | None)
    for now in follow(engine, handle, every=timedelta(seconds=1)):
        assert_type(now, Progress)
    for each, value in as_completed(engine, some):
        assert_type(each, JobHandle[bytes])
        assert_type(value, bytes)


async def waits_async(engine: AsyncEngine, handle: JobHandle[str], some: list[JobHandle[bytes]]) -> None:
    assert_type(await result(engine, handle, timeout=3), str)
    assert_type(await results(engine, some), list[bytes])
    assert_type(await progress(engine, handle), Progress | None)
    async for now in follow(engine, 7):
        assert_type(now, Progress)
    async for each, value in as_completed(engine, some):
        assert_type(each, JobHandle[bytes])
        assert_type(value, bytes)


@job(result=timedelta(hours=1))
def kept(number: int) -> int:
    return number


kept.options(result=True)


def workflows(session: Session) -> None:
    flow = Workflow("import", key="import:42")
    page = flow.add(fetch, "https://example.org")
    assert_type(page, Step[bytes])
    assert_type(page.result, bytes)
    names = flow.add(as_names, page.result)
    texts = flow.map(send_receipt, flow.add(as_numbers, names.result).result, at_once=3)
    assert_type(texts.results, list[str])
    flow.map(fetch, names.result)
    flow.add(count_texts.options(after=[page], if_failed="skip"), texts.results)
    flow.on_completed(bare, 1)
    handle = enqueue(session, flow)
    assert_type(handle, WorkflowHandle)
    assert_type(handle.job(page), JobHandle[bytes])
    assert_type(signal(session, handle, "go", {"by": "ada"}), bool)


async def workflows_async(session: AsyncSession) -> None:
    assert_type(await enqueue(session, Workflow("import")), WorkflowHandle)
    assert_type(await signal(session, 7, "go"), bool)


def as_names(page: bytes) -> list[str]:
    return page.decode().split()


def as_numbers(names: list[str]) -> list[int]:
    return list(map(len, names))


@job
def count_texts(texts: list[str]) -> int:
    return len(texts)


def in_a_step() -> None:
    flow = current_job().workflow
    assert_type(flow.add(as_numbers, ["a"]).result, list[int])
    assert_type([need.status for need in current_job().needs], list[str | None])
    wait_for("go", timeout=timedelta(days=1))
    sleep(timedelta(days=2))


@job
def read_pages(path: str) -> Iterator[bytes]:
    yield path.encode()


@job
async def measure(page: bytes) -> list[float]:
    return [float(len(page))]


@job(sequence="keep:{kind}")
def keep(vector: list[float], kind: str = "page") -> None: ...


@job(batch=Batch(100))
def store_many(vectors: list[list[float]]) -> None: ...


@job(transaction=True)
def store_within(conn: psycopg.Connection[Any], vector: list[float]) -> None: ...


def pipelines(conn: psycopg.Connection) -> None:
    index = pipeline("index", read_pages >> measure >> keep, at_most=10_000)
    made: Pipeline[..., Iterator[bytes]] = index
    assert_type(enqueue(conn, made, "a.pdf"), JobHandle[Iterator[bytes]])
    enqueue(conn, index.options(priority=1, meta={"tenant": "a"}), path="a.pdf")
    enqueue_many(conn, index, [("a.pdf",), ("b.pdf",)])
    pipeline("batches", read_pages >> measure >> store_many)
    pipeline("within", read_pages.options(queue="files") >> measure.options(queue="gpu") >> store_within, app="shop")
