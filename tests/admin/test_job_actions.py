"""Jobs that have not started are changed: priority, time, queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import configure, enqueue
from pgjobs.admin import (
    JobSelection,
    cancel_jobs,
    count_dead,
    count_jobs,
    list_paused_tasks,
    pause_task,
    replay_dead,
    resume_task,
    retry_jobs,
    set_jobs,
    show_dead,
    show_job,
    wait_for_exit,
    why,
)
from pgjobs.admin.changes import Change, change_jobs
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.db.parked import requeue_parked
from pgjobs.db.statements import doorbell_channel
from pgjobs.payload.signing import signed_fields, verify
from tests.support import tasks
from tests.support.rows import put_job, row_of

if TYPE_CHECKING:
    from psycopg import Connection

KEY = b"k" * 32
LATER = datetime.now(UTC) + timedelta(hours=1)


def test_what_is_not_given_stays(conn: Connection) -> None:
    job = put_job(conn, priority=7, queue="mail")
    before = row_of(conn, job)
    assert set_jobs(conn, [job], priority=1).done == (job,)
    assert row_of(conn, job) == {**before, "priority": 1}
    set_jobs(conn, [job], run_at=LATER, queue="bulk")
    assert row_of(conn, job) == {**before, "priority": 1, "run_at": LATER, "queue": "bulk"}


def test_job_is_named_by_its_id_its_handle_or_its_row(conn: Connection) -> None:
    handles = [enqueue(conn, tasks.healthy, number) for number in range(4)]
    ids = [handle.id for handle in handles]
    assert set_jobs(conn, ids[0], priority=1).done == (ids[0],)
    assert set_jobs(conn, handles[1], priority=1).done == (ids[1],)
    assert set_jobs(conn, [handles[2], ids[2], ids[3]], priority=1).done == (ids[2], ids[3])
    assert show_job(conn, handles[0]) == show_job(conn, ids[0])
    assert why(conn, handles[0]).reason == why(conn, show_job(conn, ids[0])).reason
    assert cancel_jobs(conn, handles).done == tuple(ids)
    assert retry_jobs(conn, show_job(conn, ids[0])).done == (ids[0],)
    assert (count_jobs(conn, handles), count_dead(conn, handles), wait_for_exit(conn, handles[0], 1)) == (4, 0, ())
    assert replay_dead(conn, handles[0]).refused[0].id == ids[0]
    with pytest.raises(NotFoundError, match=f"no dead letter {ids[0]}"):
        show_dead(conn, handles[0])
    after = enqueue(conn, tasks.healthy.options(after=handles[0]), 1)
    assert show_job(conn, after).waits_for == [ids[0]]


class Order:
    id = 1  # of an order, not of a job


@pytest.mark.parametrize(
    "wrong",
    ["5", b"5", True, None, 1.0, -1, Order(), [Order()], ["5"], {"id": 5}],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_is_not_a_job_is_refused_with_what_to_give(conn: Connection, wrong: Any) -> None:
    for act in (cancel_jobs, retry_jobs, count_jobs, replay_dead):
        with pytest.raises(UsageError, match="give a whole number from 0, or what enqueue returned"):
            act(conn, wrong)
    for look in (show_job, show_dead, why):
        with pytest.raises(UsageError, match="give a whole number from 0, or what enqueue returned"):
            look(conn, wrong)


@pytest.mark.parametrize(
    ("held", "later", "then"),
    [
        (None, True, "later"),
        ("later", False, None),
        ("later", True, "later"),
        ("needs", False, "needs"),
        ("task", True, "task"),
    ],
    ids=["due to later", "later to due", "later still", "needs others", "paused"],
)
def test_what_takes_turns_is_held_until_it_is_due(
    conn: Connection, held: str | None, later: bool, then: str | None
) -> None:
    job = put_job(conn, status="waiting", lane="x", held=held)
    assert set_jobs(conn, [job], delay=60 if later else 0).done == (job,)
    row = row_of(conn, job)
    assert (row["status"], row["held"]) == ("waiting", then)


def test_what_has_started_or_is_locked_is_refused(conn: Connection, database_url: str) -> None:
    running, ended, locked = put_job(conn, status="running", worker_id=1), put_job(conn, status="failed"), put_job(conn)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM pgjobs.jobs WHERE id = %s FOR UPDATE", [locked])
        change = set_jobs(conn, [running, ended, locked, 4711], priority=0)
    assert change.done == ()
    assert [refusal.id for refusal in change.refused] == [running, ended, locked, 4711]
    for refusal, words in zip(change.refused, ("is running", "is failed", "is locked", "no job"), strict=True):
        assert words in refusal.reason


@pytest.mark.parametrize("keys", [(), (b"o" * 32,), (KEY,)], ids=["no key", "another key", "the key"])
def test_a_signed_job_moves_only_with_a_new_signature(conn: Connection, keys: tuple[bytes, ...]) -> None:
    configure(signing_keys=(KEY,))
    job = enqueue(conn, tasks.nothing).id
    configure(signing_keys=keys)
    change = set_jobs(conn, [job], queue="bulk", priority=1)
    row = row_of(conn, job)
    if keys == (KEY,):
        assert change.done == (job,)
        assert row["queue"] == "bulk"
        verify((KEY,), row["signature"], signed_fields(row), row["payload"])
    else:
        assert "SIGNING_KEY" in change.refused[0].reason
        assert (row["queue"], row["priority"]) == ("default", 5)
    assert set_jobs(conn, [job], priority=2).done == (job,)


def test_what_became_due_rings_the_doorbell_of_its_new_queue(conn: Connection, database_url: str) -> None:
    job = put_job(conn, run_at=LATER)
    conn.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('vip', now() + interval '1 minute')")
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{doorbell_channel("vip")}"'.encode())
        set_jobs(conn, [job], delay=0, queue="vip")
        assert list(listener.notifies(timeout=5, stop_after=1))


@pytest.mark.parametrize(
    "values", [{}, {"priority": 10}, {"queue": ""}, {"delay": -1.0}, {"delay": 1.0, "run_at": LATER}]
)
def test_set_jobs_with_unusable_values_is_refused(conn: Connection, values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        set_jobs(conn, [], **values)


def test_change_jobs_of_a_selection_goes_in_batches_and_leaves_later_jobs(conn: Connection) -> None:
    ids = [put_job(conn, queue="mail") for _ in range(7)]
    other = put_job(conn)
    selection = JobSelection(queue="mail", statuses=("queued",))
    assert count_jobs(conn, selection) == 7
    seen: list[list[int]] = []

    def change(batch: list[int]) -> Change:
        seen.append(batch)
        put_job(conn, queue="mail")
        return cancel_jobs(conn, batch)

    assert change_jobs(conn, selection, (), change, batch=3).done == tuple(ids)
    assert [len(batch) for batch in seen] == [3, 3, 1]
    assert row_of(conn, other)["status"] == "queued"
    assert count_jobs(conn, selection) == 3


def test_selection_without_statuses_has_those_of_the_action(conn: Connection) -> None:
    queued, running = put_job(conn, queue="mail"), put_job(conn, queue="mail", status="running", worker_id=1)
    failed, other = put_job(conn, queue="mail", status="failed"), put_job(conn, status="failed")
    mail = JobSelection(queue="mail")

    assert set_jobs(conn, mail, priority=1).done == (queued,)
    assert retry_jobs(conn, mail).done == (failed,)
    change = cancel_jobs(conn, mail)

    assert (set(change.done), change.asked, change.refused) == ({queued, failed}, (running,), ())
    assert row_of(conn, other)["status"] == "failed"


def test_selection_of_an_unknown_status_is_refused() -> None:
    with pytest.raises(UsageError, match="status='done': give one of waiting"):
        JobSelection(statuses=("done",))


def test_parked_jobs_go_back_where_they_came_from(conn: Connection) -> None:
    plain = put_job(conn, task="a:f", status="waiting", held="task")
    turns = put_job(conn, task="a:f", status="waiting", held="task", lane="x")
    later = put_job(conn, task="a:f", status="waiting", held="task", lane="x", run_at=LATER)
    other = put_job(conn, task="b:f", status="waiting", held="task")
    pause_task(conn, "a")
    pause_task(conn, "b:*")
    assert requeue_parked(conn) == 0
    assert [task.parked for task in list_paused_tasks(conn)] == [3, 1]
    assert resume_task(conn, "a")
    rows = [row_of(conn, job) for job in (plain, turns, later, other)]
    assert [(row["status"], row["held"]) for row in rows] == [
        ("queued", None),
        ("waiting", None),
        ("waiting", "later"),
        ("waiting", "task"),
    ]
