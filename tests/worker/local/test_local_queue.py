"""What the threads of a worker process share for one queue."""

from __future__ import annotations

import select
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from pgjobs.worker.local.claimed_job import COLUMNS, check_columns
from pgjobs.worker.local.local_queue import LocalQueue
from pgjobs.worker.local.producer_signals import Freed, LookAhead, Rescan
from tests.support.claimed import claimed_job


@pytest.fixture
def queue() -> Iterator[LocalQueue]:
    queue = LocalQueue("default", 2, 0)
    yield queue
    queue.close()


def is_woken(queue: LocalQueue) -> bool:
    return bool(select.select([queue.signals.wake_fd], [], [], 0)[0])


def test_columns_that_differ_from_claimed_job_are_refused() -> None:
    columns = [SimpleNamespace(name=name) for name in COLUMNS]
    check_columns(columns, COLUMNS)
    columns[0], columns[1] = columns[1], columns[0]
    with pytest.raises(AssertionError, match="ClaimedJob expects"):
        check_columns(columns, COLUMNS)


def test_an_ended_job_is_unfinished_until_it_is_acknowledged(queue: LocalQueue) -> None:
    first, second = claimed_job(1), claimed_job(2)
    assert queue.record_claimed([first, second]) == [first, second]
    queue.record_ended([first], 1, 0.5)
    assert (list(queue.running.values()), queue.unacknowledged) == ([second], [first])
    assert queue.unfinished() == {first, second}
    queue.record_acknowledged()
    assert queue.unfinished() == {second}


def test_a_claim_that_postgresql_forgot_and_that_is_repeated_does_not_run_twice(queue: LocalQueue) -> None:
    first, second = claimed_job(1), claimed_job(2)
    queue.record_claimed([first])
    assert queue.record_claimed([claimed_job(1), second]) == [second]
    assert queue.unfinished() == {first, second}


def test_a_claim_that_is_repeated_after_the_job_ended_runs(queue: LocalQueue) -> None:
    first, again = claimed_job(1), claimed_job(1)
    queue.record_claimed([first])
    queue.record_ended([first], 1, 0.1)
    assert queue.record_claimed([again]) == [again]
    queue.record_acknowledged()
    assert queue.unfinished() == {again}


def test_a_job_claimed_again_stays_when_its_first_claim_ends(queue: LocalQueue) -> None:
    first, second = claimed_job(1), claimed_job(1, claim_number=2)
    queue.record_claimed([first])
    assert queue.record_claimed([second]) == [second]
    queue.record_ended([first], 1, 0.1)
    queue.record_acknowledged()
    assert queue.unfinished() == {second}


def test_a_producer_is_woken_only_when_it_waits_for_demand(queue: LocalQueue) -> None:
    first, second = claimed_job(1), claimed_job(2)
    queue.record_claimed([first, second])
    assert queue.demand() == 0
    queue.record_ended([first], 0, 0.0)
    assert not is_woken(queue)
    queue.claim_stats.waiting_for_demand = True
    queue.record_ended([second], 0, 0.0)
    assert is_woken(queue)
    queue.signals.clear()
    assert not is_woken(queue)


def test_after_a_standstill_jobs_count_as_slow_until_enough_of_them_ran(queue: LocalQueue) -> None:
    queue.record_ended([], 100, 0.1)
    assert queue.mean_seconds == pytest.approx(0.001)
    queue.claim_stats.slow_until = queue.end_stats.ran + 20
    assert queue.mean_seconds == pytest.approx(1.0)
    queue.record_ended([], 20, 0.02)
    assert queue.mean_seconds == pytest.approx(0.001)


def test_events_arrive_in_their_order_and_wake_the_producer(queue: LocalQueue) -> None:
    assert queue.signals.receive() == []
    for event in (Freed([(5, "a")]), LookAhead(), Rescan()):
        queue.signals.send(event)
    assert is_woken(queue)
    assert queue.signals.receive() == [Freed([(5, "a")]), LookAhead(), Rescan()]
    assert queue.signals.receive() == []


def test_the_head_of_the_inbox_changes_when_a_job_starts(queue: LocalQueue) -> None:
    assert queue.inbox.head() is None
    queue.inbox.put([claimed_job(1), claimed_job(2, claim_number=3)])
    assert queue.inbox.head() == (1, 1)
    queue.inbox.jobs.popleft()
    assert queue.inbox.head() == (2, 3)
