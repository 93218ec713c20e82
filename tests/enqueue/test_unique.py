"""Unique keys: one job at a time, from any caller and connection, without effect on other jobs."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import psycopg
import pytest

from pgjobs import DuplicateJobError, EnqueueError, JobHandle, Unique, UsageError, enqueue, enqueue_many, job
from pgjobs.admin import cancel_jobs, retry_jobs
from pgjobs.jobs.outcome import INTERRUPTED, RELEASED, Outcome, Parked, Retried, Snoozed
from pgjobs.payload.pickling import load
from pgjobs.worker.executors.shortages import NOT_YET
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle
from tests.support.callers import KINDS, settled
from tests.support.functions import add
from tests.support.processes import wait_until
from tests.support.rows import count, flush_statistics, row_of
from tests.support.worker import scalar


@job(unique="invoice:{number}")
def send(number: int, text: str = "") -> str:
    return f"{number} {text}"


@job(unique=Unique.by("args"))
def same(left: object, right: object = 1, **more: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Box:
    size: int

    @job(unique=Unique.by("args"))
    def weigh(self, by_hand: bool = False) -> None:
        """Do nothing."""


REPLACE = send.options(unique=Unique("invoice:{number}", on_conflict="replace"))
RAISE = send.options(unique=Unique("invoice:{number}", on_conflict="raise"))


def jobs(conn: psycopg.Connection) -> int:
    return count(conn, "jobs")


def call_of(conn: psycopg.Connection, handle: JobHandle[Any]) -> Any:
    return load(row_of(conn, handle.id)["payload"])()


def set_state(conn: psycopg.Connection, handle: JobHandle[Any], status: str, attempt: int = 1) -> None:
    conn.execute(
        "UPDATE pgjobs.jobs SET status = %s, attempt = %s, claims = %s, started_at = now(),"
        " worker_id = CASE WHEN %s THEN 1 END, finished_at = CASE WHEN %s THEN now() END WHERE id = %s",
        [status, attempt, attempt, status == "running", status in ("completed", "failed", "cancelled"), handle.id],
    )


def test_a_second_one_is_skipped_and_its_handle_is_that_of_the_first(conn: psycopg.Connection) -> None:
    first, other, second = enqueue(conn, send, 1), enqueue(conn, send, 2), enqueue(conn, send, 1, "again")
    assert (first.conflict, other.conflict, second.conflict) == (False, False, True)
    assert second == first != other
    assert hash(second) == hash(first)
    assert "1)" in repr(second)
    assert jobs(conn) == 2
    row = row_of(conn, first.id)
    assert (row["status"], row["lane"], row["summary"]) == ("queued", None, "send(1)")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_part_of_the_transaction_on_every_connection(
    database_url: str, conn: psycopg.Connection, kind: str
) -> None:
    async def main() -> None:
        async with KINDS[kind](database_url) as caller:
            await settled(enqueue(caller.conn, send, 1))
            await caller.rollback()
            first = await settled(enqueue(caller.conn, send, 1))
            assert not first.conflict
            many = await settled(enqueue_many(caller.conn, send, [(1,), (2,), (2,), (3,)]))
            assert [handle.conflict for handle in many] == [True, False, True, False]
            assert (many[0], many[1]) == (first, many[2])
            with pytest.raises(DuplicateJobError, match=r"job .* has the key 'invoice:3'"):
                await settled(enqueue(caller.conn, RAISE, 3))
            replaced = await settled(enqueue(caller.conn, REPLACE, 3, "new"))
            assert replaced == many[3]
            await caller.commit()
            assert call_of(conn, replaced) == "3 new"

    asyncio.run(main())
    assert jobs(conn) == 3


HELD: list[tuple[Any, str, int, bool]] = [
    ("finished", "running", 1, True),
    ("finished", "queued", 3, True),
    ("finished", "waiting", 1, True),
    ("finished", "completed", 1, False),
    ("finished", "failed", 1, False),
    ("finished", "cancelled", 0, False),
    ("started", "queued", 0, True),
    ("started", "running", 1, False),
    ("started", "queued", 1, False),  # a retry does not bring the key back
    ("started", "completed", 1, False),
    (3600, "completed", 1, True),
    (3600, "cancelled", 0, True),
    (0.001, "completed", 1, False),
    (0.001, "running", 1, True),
]


def test_a_key_is_held_for_as_long_as_was_said(conn: psycopg.Connection) -> None:
    for number, (until, status, attempt, is_held) in enumerate(HELD):
        one = send.options(unique=Unique("invoice:{number}", until=until))
        first = enqueue(conn, one, number)
        set_state(conn, first, status, attempt)
        conn.execute("SELECT pg_sleep(0.002)")
        second = enqueue(conn, one, number)
        assert (second.conflict, second == first) == (is_held, is_held), HELD[number]
        assert enqueue(conn, send, number) == second


def test_replace_changes_one_that_has_not_started(conn: psycopg.Connection) -> None:
    at = datetime(2040, 1, 1, tzinfo=UTC)
    first = enqueue(conn, REPLACE.options(delay=60), 1, "old")
    before = row_of(conn, first.id)
    second = enqueue(conn, REPLACE.options(run_at=at, priority=1, queue="vip", timeout=7), 1, "new")
    assert (second, second.conflict) == (first, True)
    row = row_of(conn, first.id)
    assert (row["run_at"], row["priority"], row["queue"], row["timeout"]) == (at, 1, "vip", 7)
    assert (row["summary"], call_of(conn, first)) == ("send(1, 'new')", "1 new")
    assert row["enqueued_at"] == before["enqueued_at"]
    third = enqueue(conn, REPLACE.options(limit="mail", delay=60), 1, "turns")
    row = row_of(conn, third.id)
    assert (third, row["status"], row["held"], row["lane"]) == (first, "waiting", "later", "\x1fmail\x1f\x1f")
    enqueue(conn, REPLACE, 1, "plain")
    row = row_of(conn, first.id)
    assert (row["status"], row["held"], row["lane"], row["limit_key"]) == ("queued", None, None, None)


def test_replace_leaves_one_that_has_started_as_it_is(conn: psycopg.Connection) -> None:
    first = enqueue(conn, REPLACE, 1, "old")
    for status in ("running", "queued", "completed"):
        set_state(conn, first, status)
        second = enqueue(
            conn, REPLACE.options(unique=Unique("invoice:{number}", until=3600, on_conflict="replace")), 1, "new"
        )
        if status != "completed":
            assert (second, second.conflict, call_of(conn, first)) == (first, True, "1 old")
    assert not second.conflict
    assert call_of(conn, second) == "1 new"


def test_until_started_and_replace_debounce(conn: psycopg.Connection) -> None:
    debounced = send.options(unique=Unique("invoice:{number}", until="started", on_conflict="replace"), delay=60)
    first = enqueue(conn, debounced, 1, "a")
    assert enqueue(conn, debounced, 1, "b") == first
    set_state(conn, first, "running")
    second = enqueue(conn, debounced, 1, "c")
    assert not second.conflict
    assert enqueue(conn, debounced, 1, "d") == second
    assert (call_of(conn, first), call_of(conn, second)) == ("1 b", "1 d")


def claimed_and(conn: psycopg.Connection, handle: JobHandle[Any], *outcomes: Outcome) -> None:
    """Claim a job, by hand, and let a worker settle its outcome; again for each of them."""
    for outcome in outcomes:
        (claims,) = conn.execute(
            "UPDATE pgjobs.jobs SET status = 'running', held = NULL, attempt = attempt + 1,"
            " claims = claims + 1, worker_id = 1, started_at = now() WHERE id = %s RETURNING claims",
            [handle.id],
        ).fetchall()[0]
        with conn.cursor() as cursor:
            assert settle(cursor, 1, "here", [(Claim(handle.id, claims), outcome)]) == []
    assert row_of(conn, handle.id)["status"] in ("queued", "waiting")


SEND = f"{__name__}:send"
NOT_STARTED: dict[str, list[Outcome]] = {
    "handed back": [RELEASED],
    "parked": [Parked(SEND)],
    "parked, resumed and handed back": [Parked(SEND), RELEASED],
    "could not begin": [NOT_YET],
}
STARTED: dict[str, list[Outcome]] = {
    "retried": [Retried("no", 0.0)],
    "snoozed": [Snoozed(0.0)],
    "snoozed, then handed back": [Snoozed(0.0), RELEASED],
    "snoozed, then parked": [Snoozed(0.0), Parked(SEND)],
    "interrupted": [INTERRUPTED],
    "interrupted, then handed back": [INTERRUPTED, RELEASED],
    "interrupted when it was retried": [Retried("no", 0.0), INTERRUPTED],
}


@pytest.mark.parametrize("controlled", [False, True])
@pytest.mark.parametrize("way", NOT_STARTED)
def test_a_job_that_was_claimed_and_did_not_run_has_not_started(
    conn: psycopg.Connection, way: str, controlled: bool
) -> None:
    conn.execute("INSERT INTO pgjobs.paused_tasks (task, patterns) VALUES (%s, %s)", [SEND, [SEND]])
    until, replacing = until_started(controlled), REPLACE.options(limit="mail" if controlled else None)
    held, replaced = enqueue(conn, until, 1), enqueue(conn, replacing, 2, "old")
    for handle in (held, replaced):
        claimed_and(conn, handle, *NOT_STARTED[way])
    assert enqueue(conn, until, 1) == held
    assert enqueue(conn, replacing, 2, "new") == replaced
    assert call_of(conn, replaced) == "2 new"


@pytest.mark.parametrize("controlled", [False, True])
@pytest.mark.parametrize("way", STARTED)
def test_a_job_that_began_has_started_even_if_the_attempt_does_not_count(
    conn: psycopg.Connection, way: str, controlled: bool
) -> None:
    conn.execute("INSERT INTO pgjobs.paused_tasks (task, patterns) VALUES (%s, %s)", [SEND, [SEND]])
    until, replacing = until_started(controlled), REPLACE.options(limit="mail" if controlled else None)
    held, replaced = enqueue(conn, until, 1), enqueue(conn, replacing, 2, "old")
    for handle in (held, replaced):
        claimed_and(conn, handle, *STARTED[way])
    assert enqueue(conn, until, 1) != held
    assert enqueue(conn, replacing, 2, "new") == replaced, "skipped"
    assert call_of(conn, replaced) == "2 old"


def until_started(controlled: bool) -> Any:
    unique = Unique("invoice:{number}", until="started")
    return send.options(unique=unique, limit="mail" if controlled else None)


def test_a_job_that_was_cancelled_before_it_began_and_put_back_has_not_started(conn: psycopg.Connection) -> None:
    first, other = enqueue(conn, until_started(False), 1), enqueue(conn, until_started(False), 2)
    claimed_and(conn, first, RELEASED)
    claimed_and(conn, other, Snoozed(0.0))
    assert cancel_jobs(conn, [first.id, other.id]).done == (first.id, other.id)
    assert retry_jobs(conn, [first.id, other.id]).done == (first.id, other.id)
    assert enqueue(conn, until_started(False), 1) == first
    assert enqueue(conn, until_started(False), 2) != other


def test_one_that_waits_for_others_is_not_replaced(conn: psycopg.Connection) -> None:
    """The end of those others has to change its row, and must not wait for the replacing transaction."""
    needed = enqueue(conn, add, 1)
    first = enqueue(conn, send.options(after=[needed]), 1, "old")
    handle = enqueue(conn, REPLACE, 1, "new")
    assert (handle.id, handle.conflict) == (first.id, True)
    row = row_of(conn, first.id)
    assert (row["status"], row["held"], row["needs"], call_of(conn, first)) == ("waiting", "needs", 1, "1 old")


def test_what_has_completed_is_not_waited_for(conn: psycopg.Connection) -> None:
    done, open_ = (enqueue(conn, add, number) for number in range(2))
    conn.execute("UPDATE pgjobs.jobs SET status = 'completed', finished_at = now() WHERE id = %s", [done.id])
    assert row_of(conn, enqueue(conn, add.options(after=[done]), 3).id)["status"] == "queued"
    row = row_of(conn, enqueue(conn, add.options(after=[done, open_]), 3).id)
    assert (row["status"], row["needs"]) == ("waiting", 1)


def test_raise_names_the_other_job_and_leaves_the_transaction_as_it_was(conn: psycopg.Connection) -> None:
    with conn.transaction():
        first = enqueue(conn, RAISE, 1)
        with pytest.raises(DuplicateJobError, match=rf"^job {first.id} has the key 'invoice:1' of .*:send") as caught:
            enqueue(conn, RAISE, 1)
        assert (caught.value.key, caught.value.id) == ("invoice:1", first.id)
        assert isinstance(caught.value, EnqueueError)
        assert pickle.loads(pickle.dumps(caught.value)).id == first.id
        with pytest.raises(DuplicateJobError, match=r"^item 1 of enqueue_many is refused: job \d+ has"):
            enqueue_many(conn, RAISE, [(2,), (1,), (3,)])
        with pytest.raises(DuplicateJobError, match=r"^item 2 of enqueue_many is refused: item 0 has") as caught:
            enqueue_many(conn, RAISE, [(4,), (5,), (4,)])
        assert caught.value.id is None
    assert jobs(conn) == 1
    assert not enqueue(conn, RAISE, 2).conflict


def test_in_bulk_a_conflict_does_not_spoil_the_rest(conn: psycopg.Connection) -> None:
    taken = enqueue_many(conn, send, [(n,) for n in range(0, 2_500, 5)])
    handles = enqueue_many(conn, send, [(n % 2_500,) for n in range(5_000)])
    assert handles[::5] == taken * 2
    assert handles[:2_500] == handles[2_500:]
    assert [handle.conflict for handle in handles[:2_500]] == [n % 5 == 0 for n in range(2_500)]
    assert all(handle.conflict for handle in handles[2_500:])
    fresh = [handle.id for handle in handles[:2_500] if not handle.conflict]
    assert fresh == sorted(fresh), "the order of a sequence is that of the ids"
    assert jobs(conn) == 2_500


def test_in_bulk_the_last_of_the_same_replaces_the_others(conn: psycopg.Connection) -> None:
    old = enqueue(conn, send, 1, "old")
    handles = enqueue_many(conn, REPLACE, [(1, "a"), (2, "b"), (1, "c"), (2, "d"), (3,)])
    assert [handle.conflict for handle in handles] == [True, False, True, True, False]
    assert handles[0] == handles[2] == old
    assert [call_of(conn, handle) for handle in (old, handles[1])] == ["1 c", "2 d"]
    assert jobs(conn) == 3


def test_a_key_is_the_same_for_all_tasks(conn: psycopg.Connection) -> None:
    assert enqueue(conn, add.options(unique="invoice:1"), 5) == enqueue(conn, send, 1)


def test_by_compares_the_arguments_by_value(conn: psycopg.Connection) -> None:
    first = enqueue(conn, same, [1, {"a": {2, 3}}])
    for args, kwargs in (
        (([1, {"a": {3, 2}}],), {}),
        (((1, {"a": {3, 2}}), 1), {}),
        ((), {"left": [1, {"a": {2, 3}}], "right": 1}),
    ):
        assert enqueue(conn, same, *args, **kwargs) == first
    for value in (1, 1.0, True, "1", b"1", None, [1], {1: 1}, {1}, datetime(2030, 1, 1, tzinfo=UTC), timedelta(1)):
        assert not enqueue(conn, same, value).conflict
    east = timezone(timedelta(hours=5))
    assert enqueue(conn, same, datetime(2030, 1, 1, 5, tzinfo=east)).conflict
    assert not enqueue(conn, same, 1, x=2).conflict
    assert enqueue(conn, same.options(queue="vip"), 1).conflict
    queue = same.options(unique=Unique.by("args", "queue"))
    assert not enqueue(conn, queue, 1).conflict
    assert not enqueue(conn, queue.options(queue="vip"), 1).conflict
    assert enqueue(conn, queue.options(queue="vip"), 1).conflict
    task = same.options(unique=Unique.by("task"))
    assert not enqueue(conn, task, 1).conflict
    assert enqueue(conn, task, 2).conflict


def test_by_compares_the_object_of_a_method_too(conn: psycopg.Connection) -> None:
    assert not enqueue(conn, Box(1).weigh).conflict
    assert not enqueue(conn, Box(2).weigh).conflict
    assert enqueue(conn, Box(2).weigh, False).conflict


def test_what_cannot_be_compared_is_refused(conn: psycopg.Connection) -> None:
    for value, said in ((object(), "a object cannot be compared"), ([len], "cannot be compared")):
        with pytest.raises(EnqueueError, match=f"test_unique:same is refused: .*{said}"):
            enqueue(conn, same, value)
    assert jobs(conn) == 0


@pytest.mark.parametrize("parts", [(), ("nonsense",), (1,), ("args", None)], ids=["none", "nonsense", "number", "null"])
def test_by_nothing_or_nonsense_is_refused(parts: Any) -> None:
    with pytest.raises(UsageError, match=r"^Unique\.by\("):
        Unique.by(*parts)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("unique", ["", 7, "{nonsense}", "{0}", "x" * 101, ("args",)]),
        ("if_failed", ["", "stop", None]),
        ("after", ["1", 0, [0], [-1], ["1"], [None], [2**63], [True], range(10_001)]),
    ],
    ids=["unique", "if_failed", "after"],
)
def test_values_that_cannot_be_used_are_refused_in_one_line(option: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UsageError, match=f"^{option}=") as caught:
            send.options(**{option: value})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("until", ["", "never", 0, -1, None, float("nan"), 10**10, True, timedelta(0)]),
        ("on_conflict", ["", "ignore", None]),
    ],
    ids=["until", "on_conflict"],
)
def test_unique_refuses_a_part_that_cannot_be_used_in_one_line(part: str, values: list[Any]) -> None:
    for value in values:
        changes: Any = {part: value}
        for make in (partial(Unique, "key"), partial(Unique.by, "args")):
            with pytest.raises(UsageError, match=rf"^Unique\({part}=") as caught:
                make(**changes)
            assert "\n" not in str(caught.value)


def test_unique_keeps_a_timedelta_as_seconds() -> None:
    assert Unique("key", until=timedelta(minutes=1)) == Unique("key", until=60)
    assert Unique.by("args", until=timedelta(minutes=1)).until == 60.0


def test_who_has_keys_in_a_snapshot_of_its_own_is_told_to_try_again(
    database_url: str, conn: psycopg.Connection
) -> None:
    with psycopg.connect(database_url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT 1 FROM pgjobs.unique_keys")
        enqueue(conn, send, 1)
        with pytest.raises(psycopg.errors.SerializationFailure):
            enqueue(other, send, 1)
        other.rollback()
        assert enqueue(other, send, 1).conflict


def test_no_statement_of_it_reads_a_table_as_a_whole(conn: psycopg.Connection) -> None:
    if conn.info.server_version < 150000:
        pytest.skip("this PostgreSQL counts scans when it has time for it")
    conn.execute("ALTER TABLE pgjobs.jobs_live SET (autovacuum_enabled = off)")
    enqueue_many(conn, add, [(n,) for n in range(20_000)])
    scans = "SELECT coalesce(sum(seq_scan), 0) FROM pg_stat_user_tables WHERE relname IN ('jobs_live', 'unique_keys')"
    flush_statistics(conn)
    before = scalar(conn, scans)
    for changed in (send, REPLACE, RAISE.options(after=[1])):
        enqueue_many(conn, changed, [(n, changed.job_options.flow.on_conflict) for n in range(100)][:50])
        if changed is REPLACE:
            conn.execute("DELETE FROM pgjobs.jobs WHERE id > 20000")
    flush_statistics(conn)
    assert scalar(conn, scans) - before <= 1  # the DELETE above


def test_replace_waits_for_who_claims_it_and_then_leaves_it_as_it_is(
    database_url: str, conn: psycopg.Connection
) -> None:
    controlled = REPLACE.options(limit="mail")
    first = enqueue(conn, controlled, 1, "old")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as claimer:
        claimer.execute(
            "UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = 1, started_at = now() WHERE id = %s",
            [first.id],
        )
        second = pool.submit(enqueue, conn, controlled, 1, "new")
        wait_until(lambda: claimer.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
        claimer.commit()  # into another partition, where the row cannot be followed
        assert second.result() == first
    assert (row_of(conn, first.id)["status"], call_of(conn, first)) == ("running", "1 old")
