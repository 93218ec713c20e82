"""What follows from the death of a worker process: for its jobs, and for the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgjobs.jobs.outcome import INTERRUPTED, RELEASED, ErrorKind, Failed, Released, Retried
from pgjobs.jobs.retry import since_replay
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.supervisor.rescue import LostJob, WorkerExit, outcome_for, outcomes_for
from pgjobs.worker.supervisor.supervisor import MAX_PAUSE, restart_pause

ATTEMPT = Claim(42, 3)


def test_what_ran_when_its_worker_died_counts_and_is_a_suspect() -> None:
    death = WorkerExit(1, "killed by SIGSEGV", frozenset({ATTEMPT}))
    outcome = outcome_for(death, ATTEMPT, (3, 5))
    assert isinstance(outcome, Retried)
    assert outcome.isolate
    assert outcome.error == "its worker process died while it ran: killed by SIGSEGV"


def test_after_a_replay_a_loss_waits_as_after_a_first_attempt() -> None:
    death = WorkerExit(1, "killed by SIGSEGV", frozenset({Claim(42, 11)}))
    for _ in range(50):
        outcome = outcome_for(death, Claim(42, 11), since_replay(11, 15, 10))
        assert isinstance(outcome, Retried)
        assert outcome.delay <= 2.0


def test_what_ran_for_the_last_time_when_its_worker_died_has_failed() -> None:
    outcome = outcome_for(WorkerExit(1, "exit code 1", frozenset({ATTEMPT})), ATTEMPT, (3, 3))
    assert outcome == Failed("its worker process died while it ran: exit code 1", kind=ErrorKind.CRASHED)


@pytest.mark.parametrize("started", [frozenset(), frozenset({Claim(42, 2)}), frozenset({Claim(41, 3)})])
def test_what_had_not_started_is_released(started: frozenset[Claim]) -> None:
    assert outcome_for(WorkerExit(1, "killed by SIGKILL", started), ATTEMPT, (3, 3)) is RELEASED


def test_what_was_interrupted_by_a_shutdown_is_released() -> None:
    assert outcome_for(WorkerExit(1, None, frozenset({ATTEMPT})), ATTEMPT, (3, 3)) is INTERRUPTED
    assert outcome_for(WorkerExit(1, None, frozenset()), ATTEMPT, (3, 3)) is RELEASED


def test_a_stuck_job_counts_and_is_not_a_suspect() -> None:
    outcome = outcome_for(WorkerExit(1, None, frozenset({ATTEMPT}), {ATTEMPT: "JobTimeout: …"}), ATTEMPT, (3, 5))
    assert isinstance(outcome, Retried)
    assert not outcome.isolate
    assert outcome.error == "JobTimeout: …"


def test_restarts_get_slower_up_to_half_a_minute() -> None:
    pauses = [restart_pause(lives) for lives in range(20)]
    assert pauses[:2] == [0.0, 0.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == restart_pause(10_000) == MAX_PAUSE


def in_batch(job: int, *, lane: str = "a", claimed: int = 0, isolate: bool | None = None) -> LostJob:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=claimed)
    return LostJob(job, 1, 1, 5, None, 7, f"\x1f\x1f\x1f\x1f10:500::m:f:{lane}", at, isolate)


def test_jobs_of_a_batch_that_ran_are_not_charged_and_run_alone() -> None:
    death = WorkerExit(7, "killed by SIGKILL", frozenset({Claim(1, 1)}))
    lost = [in_batch(1), in_batch(2), in_batch(3, lane="b"), in_batch(4, claimed=1)]
    apart = Released(began=True, isolate=True)
    assert [outcome for _, outcome in outcomes_for(death, lost)] == [apart, apart, RELEASED, RELEASED]


@pytest.mark.parametrize("others", [[], [in_batch(2, isolate=True)]])
def test_a_job_of_a_batch_that_ran_alone_is_charged(others: list[LostJob]) -> None:
    death = WorkerExit(7, "killed by SIGKILL", frozenset({Claim(1, 1)}))
    outcome = outcomes_for(death, [in_batch(1, isolate=bool(others)), *others])[0][1]
    assert isinstance(outcome, Retried)
    assert outcome.isolate


def test_a_batch_that_a_shutdown_interrupts_stays_together() -> None:
    ended = WorkerExit(7, None, frozenset({Claim(1, 1)}))
    assert [outcome for _, outcome in outcomes_for(ended, [in_batch(1), in_batch(2)])] == [INTERRUPTED] * 2
