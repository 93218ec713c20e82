"""Hooks at enqueues: they add metadata or refuse the job, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import pgjobs.schedules.schedule as schedules
from pgjobs import EnqueueError, configure, enqueue, enqueue_many, job, schedule
from pgjobs.admin import add_schedule
from pgjobs.hooks import NewJob, on_enqueue
from pgjobs.payload.signing import signed_fields, verify
from tests.support.rows import row_of
from tests.support.worker import scalar, states

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

seen: list[NewJob] = []


@pytest.fixture(autouse=True)
def nothing_declared() -> Iterator[None]:
    seen.clear()
    yield
    schedules._declared.clear()


@job(meta={"team": "shop", "n": 1}, queue="mail", priority=3)
def send(order: int, copy: bool = False) -> None: ...


@job(limit="tenant:{meta.tenant}")
def sync() -> None: ...


def note(new: NewJob) -> None:
    seen.append(new)


@pytest.mark.parametrize("number", [1, 2])
def test_hooks_add_metadata_and_the_last_one_wins(conn: psycopg.Connection, number: int) -> None:
    configure(signing_keys=(b"k" * 32,))
    on_enqueue(lambda new: {"a": new.meta["n"], "n": 7, "from": "first"})
    on_enqueue(lambda _: {"from": "second"})
    on_enqueue(note)
    changed = send.options(meta={"n": 2})
    if number == 1:
        ids = [enqueue(conn, changed, 42, copy=True).id]
    else:
        ids = [each.id for each in enqueue_many(conn, changed, [(1,), (2,)])]

    meta = {"team": "shop", "n": 7, "a": 2, "from": "second"}
    arguments = ((42,), {"copy": True}) if number == 1 else (None, None)
    assert seen == [NewJob(f"{__name__}:send", "mail", 3, meta, *arguments)]
    for each in ids:
        row = row_of(conn, each)
        assert row["meta"] == meta
        verify([b"k" * 32], row["signature"], signed_fields(row), row["payload"])
    assert send.job_options.meta == {"team": "shop", "n": 1}


def test_hooks_work_for_any_callable_and_in_keys(conn: psycopg.Connection) -> None:
    on_enqueue(lambda _: {"tenant": "north"})

    assert row_of(conn, enqueue(conn, len, "abc").id)["meta"] == {"tenant": "north"}
    assert row_of(conn, enqueue(conn, sync).id)["lane"].split("\x1f")[1] == "tenant:north"


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (ValueError("closed"), "ValueError: closed"),
        (7, "UsageError: meta=7: give a dict"),
        ({"x": "y" * 4080}, "UsageError: .* is too large"),
        ({"x": object()}, "UsageError: .* cannot be written as JSON"),
    ],
    ids=["raises", "number", "large", "object"],
)
def test_hook_refuses_a_job_and_is_named(conn: psycopg.Connection, made: Any, error: str) -> None:
    def check(_: NewJob) -> Any:
        if isinstance(made, Exception):
            raise made
        return made

    on_enqueue(check)
    for call in (
        lambda: enqueue(conn, send, 1),
        lambda: enqueue_many(conn, send, [(1,), (2,)]),
        lambda: add_schedule(conn, "daily", "0 0 * * *", send, (1,)),
    ):
        with pytest.raises(EnqueueError, match=rf"send is refused: the hook {__name__}:\S+check raised {error}"):
            call()
    assert states(conn) == {}
    assert scalar(conn, "SELECT count(*) FROM pgjobs.schedules") == 0


def test_what_ends_the_program_passes(conn: psycopg.Connection) -> None:
    def interrupt(_: NewJob) -> None:
        raise KeyboardInterrupt

    on_enqueue(interrupt)
    with pytest.raises(KeyboardInterrupt):
        enqueue(conn, send, 1)


def test_schedules_have_the_metadata_of_hooks_that_were_imported_later(conn: psycopg.Connection) -> None:
    schedule("0 0 * * *", send.options(meta={"n": 3}), args=(5,), name="later", meta={"b": 1})
    on_enqueue(note)
    on_enqueue(lambda new: {"by": new.schedule})
    (made,) = schedules.declared_schedules()
    add_schedule(conn, "own", "0 0 * * *", send, (6,), queue="bulk")

    assert made.columns.meta == '{"b":1,"by":"later","n":3,"team":"shop"}'
    assert [(new.schedule, new.queue, new.args) for new in seen] == [("later", "mail", (5,)), ("own", "bulk", (6,))]
    assert seen[0].meta == {"b": 1, "n": 3, "team": "shop"}
    stored = scalar(conn, "SELECT columns->>'meta' FROM pgjobs.schedules WHERE name = 'own'")
    assert stored == '{"by":"own","n":1,"team":"shop"}'


def test_hooks_that_are_no_plain_functions_are_refused() -> None:
    async def later(_: NewJob) -> None: ...

    def steps(_: NewJob) -> Iterator[None]:
        yield

    hooks: list[Any] = [later, steps, "text"]
    for hook in hooks:
        with pytest.raises(ValueError, match="on_enqueue"):
            on_enqueue(hook)
