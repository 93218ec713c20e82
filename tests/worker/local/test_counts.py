"""What a worker process counts for metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pgjobs.jobs.outcome import CANCELLED_ON_REQUEST, COMPLETED, RELEASED, Outcome
from pgjobs.telemetry.metrics import BUCKETS, OTHER
from pgjobs.worker.local import counts as counting
from pgjobs.worker.local.counts import CANCELLED, OUTCOMES, RETRIED, SUM, Counts
from pgjobs.worker.local.counts import COMPLETED as COMPLETED_AT
from pgjobs.worker.local.local_queue import Ended
from tests.support.claimed import claimed_job


def ended(id: int = 1, seconds: float | None = 0.02, outcome: Outcome = COMPLETED, **fields: Any) -> Ended:
    return claimed_job(id, **fields), outcome, seconds


def test_jobs_are_counted_by_queue_and_task_with_their_time() -> None:
    counts = Counts()
    due = datetime.now(UTC) - timedelta(seconds=8)
    batch = [ended(1), ended(2, 3.0, run_at=due), ended(3, task="c:d"), ended(4, None)]
    counts.completed(batch, [], set())
    found = counts.snapshot([])
    array = found["tasks"]["default"]["a:b"]
    assert array[COMPLETED_AT] == 3
    assert {BUCKETS[place]: number for place, number in enumerate(array[: SUM - 1]) if number} == {0.025: 1, 5.0: 1}
    assert array[SUM] == 3.02
    assert found["tasks"]["default"]["c:d"][COMPLETED_AT] == 1
    waits = found["waits"]["default"]
    assert waits[0] == 2  # they were due when they started, or a moment later
    assert waits[BUCKETS.index(10.0)] == 1
    assert 4 < waits[SUM] < 7


def test_what_was_not_written_is_not_counted() -> None:
    counts = Counts()
    batch = [ended(1), ended(2), ended(3)]
    counts.completed(batch, [batch[0]], {2})
    counts.settled([(claimed_job(4), None, 1.0), (claimed_job(5), RELEASED, None)])
    assert counts.snapshot([])["tasks"]["default"]["a:b"][COMPLETED_AT] == 1


def test_other_outcomes_have_places_of_their_own() -> None:
    counts = Counts()
    counts.settled([(claimed_job(), CANCELLED_ON_REQUEST, 0.1)])
    array = counts.snapshot([])["tasks"]["default"]["a:b"]
    assert [array[place] for place in (*OUTCOMES.values(), RETRIED)] == [0, 0, 1, 0]
    assert array[CANCELLED] == 1


def test_a_process_holds_a_bounded_number_of_arrays(monkeypatch: Any) -> None:
    monkeypatch.setattr(counting, "MAX_ARRAYS", 3)
    counts = Counts()
    counts.completed([ended(number, task=f"a:t{number}") for number in range(10)], [], set())
    tasks = counts.snapshot([])["tasks"]["default"]
    assert {task: array[COMPLETED_AT] for task, array in tasks.items()} == {"a:t0": 1, "a:t1": 1, "a:t2": 1, OTHER: 7}
