"""What follows from the death of a worker process: for its jobs, and for the next one."""

from __future__ import annotations

import pytest

from pgjobs.jobs.outcome import INTERRUPTED, RELEASED, ErrorKind, Failed, Retried
from pgjobs.jobs.retry import since_replay
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.supervisor.rescue import WorkerExit, outcome_for
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
