"""What a supervisor adds up of its processes, and shows to Prometheus."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from prometheus_client.parser import text_string_to_metric_families

from pgjobs.jobs.outcome import COMPLETED as OUTCOME
from pgjobs.telemetry.metrics import MAX_TASKS, WORKERS, Family
from pgjobs.telemetry.prometheus import FamilyCollector, exposition
from pgjobs.worker.local.counts import COMPLETED, RETRIED, Counts
from pgjobs.worker.runtime.scoreboard import MAX_COUNTS, Scoreboard
from pgjobs.worker.supervisor.counts import SupervisorCounts
from tests.support.claimed import claimed_job

if TYPE_CHECKING:
    from pgjobs.worker.supervisor.worker_handle import WorkerHandle


class Process:
    """A process as `SupervisorCounts` sees it."""

    worker_id = 1

    def __init__(self, *jobs: int, task: str = "a:b") -> None:
        self.counts = Counts()
        for job in jobs:
            self.end(job, task)

    def end(self, job: int, task: str = "a:b") -> None:
        self.counts.completed([(claimed_job(job, task=task), OUTCOME, 0.01)], [], set())

    def read_counts(self) -> bytes:
        return json.dumps(self.counts.snapshot([])).encode()


def handle(process: Process) -> WorkerHandle:
    return cast("WorkerHandle", process)


def finished(found: list[Family]) -> dict[tuple[str, ...], float]:
    return next(family.values for family in found if family.name == "pgjobs_jobs_finished_total")


def test_sum_does_not_decrease_when_a_process_is_replaced() -> None:
    counts, old, new = SupervisorCounts(), Process(1, 2), Process()
    counts.add(handle(old))
    assert finished(counts.read()) == {("default", "a:b", "completed"): 2}
    old.end(3)
    counts.remove(handle(old))
    assert finished(counts.read()) == {("default", "a:b", "completed"): 3}
    counts.add(handle(new))
    new.end(4)
    assert finished(counts.read()) == {("default", "a:b", "completed"): 4}
    (durations,) = next(f.histograms.values() for f in counts.read() if f.name == "pgjobs_job_duration_seconds")
    assert sum(durations[:-1]) == 4


def test_tasks_beyond_the_bound_are_one_and_stay_it() -> None:
    counts, process = SupervisorCounts(), Process()
    counts.add(handle(process))
    for number in range(MAX_TASKS + 5):
        process.end(number, f"a:t{number}")
    before = finished(counts.read())
    process.end(1, f"a:t{MAX_TASKS + 1}")
    after = finished(counts.read())
    assert len(after) == MAX_TASKS + 1
    assert before["default", "other", "completed"] == 5
    assert after["default", "other", "completed"] == 6


def test_names_that_are_kept_of_processes_that_are_gone_are_bounded_and_so_are_their_sums() -> None:
    counts = SupervisorCounts()
    for number in range(MAX_TASKS + 5):
        process = Process(number, task=f"a:t{number}")
        counts.add(handle(process))
        counts.remove(handle(process))
    assert len(counts._gone["tasks"]["default"]) == MAX_TASKS + 1
    found = finished(counts.read())
    assert found["default", "other", "completed"] == 5
    assert sum(found.values()) == MAX_TASKS + 5


def test_hostile_names_of_tasks_are_escaped() -> None:
    counts = SupervisorCounts()
    name = 'a"\\\n# TYPE x{y="z"} \x1b[2J:b\u2028'
    counts.add(handle(Process(1, task=name)))
    text = exposition(FamilyCollector(counts.read, WORKERS))[1].decode()
    tasks = {
        sample.labels["task"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "task" in sample.labels
    }
    assert tasks == {'a"\\\\n# TYPE x{y="z"} \\x1b[2J:b\\u2028'}
    assert "\x1b" not in text


def test_scoreboard_gives_back_whole_counts_or_none() -> None:
    with closing(Scoreboard(2)) as board:
        assert board.read_counts() is None
        assert board.write_counts(b'{"a": 1}')
        assert board.read_counts() == b'{"a": 1}'
        assert not board.write_counts(b"x" * (MAX_COUNTS + 1))
        assert board.read_counts() == b'{"a": 1}'
        board._memory[board._counts_at + 10] ^= 1  # as if it were being written
        assert board.read_counts() is None


def test_array_of_a_task_has_a_place_for_each_outcome() -> None:
    array: Any = Process(1).counts.snapshot([])["tasks"]["default"]["a:b"]
    assert len(array) == RETRIED + 1
    assert array[COMPLETED] == 1
