from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.admin import keep_completed, list_queues, pause_queue, remove_queue, resume_queue
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.db.statements import doorbell_channel
from tests.support.rows import put_dead, put_job, put_worker

if TYPE_CHECKING:
    from psycopg import Connection


def test_queues_with_jobs_or_settings_are_listed_by_name(conn: Connection) -> None:
    for queue in ("b", "a", "b", "c"):
        put_job(conn, queue=queue)
    pause_queue(conn, "idle")
    put_worker(conn, {"a": 4, "idle": 1})
    assert [(q.name, q.paused, q.worked_on) for q in list_queues(conn)] == [
        ("a", False, True),
        ("b", False, False),
        ("c", False, False),
        ("idle", True, True),
    ]


def test_a_pause_is_kept_from_its_beginning(conn: Connection) -> None:
    assert pause_queue(conn, "mail")
    since = list_queues(conn)[0].paused_at
    assert since is not None
    assert not pause_queue(conn, "mail")
    assert list_queues(conn)[0].paused_at == since


def test_a_pause_keeps_the_settings_of_a_known_queue(conn: Connection) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('mail', 'infinity')")
    assert pause_queue(conn, "mail")
    row = conn.execute("SELECT paused, doorbell_until = 'infinity' FROM pgjobs.queues").fetchall()
    assert row == [(True, True)]


def test_resuming_ends_a_pause_and_rings_the_armed_doorbell(conn: Connection, database_url: str) -> None:
    pause_queue(conn, "mail")
    conn.execute("UPDATE pgjobs.queues SET doorbell_until = clock_timestamp() + interval '1 minute'")
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{doorbell_channel("mail")}"')
        assert resume_queue(conn, "mail")
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
    queue = list_queues(conn)[0]
    assert (queue.paused, queue.paused_at) == (False, None)


def test_resuming_what_is_not_paused_changes_nothing(conn: Connection) -> None:
    assert not resume_queue(conn, "mail")
    assert list_queues(conn) == []


def test_a_queue_keeps_everything_until_it_is_told_otherwise(conn: Connection) -> None:
    pause_queue(conn, "mail")
    assert [queue.keep_completed for queue in list_queues(conn)] == [True]
    assert keep_completed(conn, "mail", False)
    assert not keep_completed(conn, "mail", False)
    assert keep_completed(conn, "new", False)
    assert not keep_completed(conn, "newer", True)
    assert [(q.name, q.keep_completed, q.paused) for q in list_queues(conn)] == [
        ("mail", False, True),
        ("new", False, False),
        ("newer", True, False),
    ]
    assert keep_completed(conn, "mail", True)


@pytest.mark.parametrize("name", ["", " mail", "x" * 101, "a\nb"])
def test_what_is_not_a_name_of_a_queue_is_refused(conn: Connection, name: str) -> None:
    with pytest.raises(UsageError):
        pause_queue(conn, name)
    with pytest.raises(UsageError):
        keep_completed(conn, name, False)


def test_a_queue_without_jobs_and_workers_is_removed_with_its_settings(conn: Connection) -> None:
    pause_queue(conn, "a,b")
    put_dead(conn, queue="a,b")
    for kind in ("queue", "limit"):
        conn.execute("INSERT INTO pgjobs.buckets (kind, name, tokens, at) VALUES (%s, 'a,b', 1, now())", [kind])
    assert remove_queue(conn, "a,b") == 1  # dead letter, which stays
    assert list_queues(conn) == []
    assert conn.execute("SELECT kind FROM pgjobs.buckets").fetchall() == [("limit",)], "of a key with the same name"
    with pytest.raises(NotFoundError, match="There is no queue a,b"):
        remove_queue(conn, "a,b")


def test_a_queue_that_is_used_is_not_removed(conn: Connection) -> None:
    pause_queue(conn, "mail")
    waiting = put_job(conn, queue="mail", status="waiting", held="needs", needs=1)
    with pytest.raises(UsageError, match="has 1 job that has not ended"):
        remove_queue(conn, "mail")
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [waiting])
    worker = put_worker(conn, {"mail": 2})
    with pytest.raises(UsageError, match=f"is served by worker {worker}"):
        remove_queue(conn, "mail")
    assert [queue.paused for queue in list_queues(conn)] == [True]
