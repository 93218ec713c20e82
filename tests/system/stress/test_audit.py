"""The auditor sees what it is there to see. Each violation is made up, beside the same without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.system.stress.audit import audit
from tests.system.stress.trace import TICK, TICK_ALONE, Histories, Letter, Move, Run, Setting, Strike, Trace, UniqueCall

TASK = "tests.system.stress.tasks:in_thread"


class Writer:
    """Writes down what happens, in order: a second for each transaction, unless its time is given."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.now = 100.0
        self._n = 0
        self._claims: dict[int, int] = {}
        self._last: dict[int, Move] = {}

    def move(self, job: int, status: str, *, xid: int | None = None, op: str = "I", **columns: Any) -> int:
        """Write down that a job's row got a status, and return the number of the transaction."""
        if xid is None:
            self.now += 1.0
        self._n += 1
        if status == "running" and op == "I":
            self._claims[job] = self._claims.get(job, 0) + 1
        before = self._last.get(job, Move(0, 0, 0.0, "I", job, "waiting", 0, task=TASK))
        values = {"n": self._n, "xid": xid or self._n, "at": self.now, "op": op, "status": status, **columns}
        self._last[job] = before._replace(claims=self._claims.get(job, 0), **values)
        self.trace.moves.append(self._last[job])
        return xid or self._n

    def enqueue(self, *jobs: int, about: dict[str, Any] | None = None, **columns: Any) -> None:
        for job in jobs:
            self.trace.calls[job] = about or {}
            self.move(job, "waiting", **columns)

    def begin(self, job: int, **columns: Any) -> None:
        """Claim it, and let it begin."""
        self.move(job, "running", **columns)
        self.trace.runs.append(Run(job, self._claims[job], 1, self.now + 0.1, None, "", holds=True))

    def end(self, job: int, status: str = "completed", word: str = "ok", **columns: Any) -> int:
        """End it, by its own word and by its row."""
        self.say(job, word, self.now + 0.5)
        return self.move(job, status, **columns)

    def say(self, job: int, word: str, at: float) -> None:
        number = max(number for number, run in enumerate(self.trace.runs) if run.job == job)
        self.trace.runs[number] = self.trace.runs[number]._replace(ended=at, word=word)

    def run(self, *jobs: int, **columns: Any) -> None:
        for job in jobs:
            self.begin(job, **columns)
            self.end(job)

    def fail(self, job: int) -> int:
        """End it as a dead letter."""
        xid = self.end(job, "failed", "fail")
        self.letter(job, "I", xid)
        return xid

    def letter(self, job: int, op: str, xid: int | None = None) -> None:
        self.now += 0.0 if xid else 1.0
        self._n += 1
        self.trace.letters.append(Letter(self._n, xid or self._n, self.now, op, job))

    def setting(self, kind: str, name: str, **value: Any) -> None:
        self.now += 1.0
        self._n += 1
        self.trace.settings.append(Setting(self._n, self._n, self.now, kind, name, value or None))

    def limit(self, name: str, concurrency: int | None, **rate: Any) -> None:
        empty = {"rate": None, "seconds": None, "burst": None}
        self.setting("limits", name, **{**empty, "concurrency": concurrency, **rate})

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def found(self) -> set[str]:
        """Return the invariants that do not hold."""
        return {fault.invariant for fault in audit(Histories(self.trace))}


@pytest.fixture
def write() -> Writer:
    return Writer()


def test_a_round_in_which_all_is_well_has_no_faults(write: Writer) -> None:
    write.limit("lim:*", 1)
    write.enqueue(1, 2, limit_key="lim:1", sequence="s", on_failure="block")
    write.run(1, 2)
    write.move(3, "waiting", task=TICK)
    write.run(3)
    assert write.found() == set()


# -- Slots and rates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("allowed", "faults"), [(1, {"slots of a limit", "slots by the jobs' own word"}), (2, set())])
def test_too_many_at_once_are_seen(write: Writer, allowed: int, faults: set[str]) -> None:
    write.limit("lim:*", allowed)
    write.enqueue(1, 2, limit_key="lim:1")
    write.begin(1)
    write.begin(2)
    write.end(1)
    write.end(2)
    assert write.found() == faults


def test_the_limit_of_a_key_goes_before_that_of_its_pattern(write: Writer) -> None:
    write.limit("lim:*", 5)
    write.limit("lim:1", 1)
    write.enqueue(1, 2, limit_key="lim:1")
    write.begin(1)
    write.begin(2)
    write.end(1)
    write.end(2)
    assert "slots of a limit" in write.found()


def test_jobs_that_run_when_a_limit_is_lowered_may_run_on_and_no_other_begins(write: Writer) -> None:
    write.limit("lim:1", 2)
    write.enqueue(1, 2, 3, limit_key="lim:1")
    write.begin(1)
    write.begin(2)
    write.limit("lim:1", 1)
    write.wait(2.0)
    before = replace(write.trace, moves=list(write.trace.moves), runs=list(write.trace.runs))
    assert "slots of a limit" not in {fault.invariant for fault in audit(Histories(before))}
    write.end(1)
    write.begin(3)
    assert "slots of a limit" in write.found()


def test_a_claim_whose_transaction_began_before_a_limit_was_lowered_is_right(write: Writer) -> None:
    write.limit("lim:1", 1)
    write.wait(5.0)
    write.enqueue(1, limit_key="lim:1")
    began = write.now
    write.limit("lim:1", 0)
    write.wait(4.0)
    write.begin(1, started_at=began)
    write.end(1)
    assert write.found() == set()
    write.trace.moves[1] = write.trace.moves[1]._replace(started_at=began + 3.0)
    assert "slots of a limit" in write.found()


def test_runs_that_the_rows_do_not_show_are_seen_by_the_jobs_own_word(write: Writer) -> None:
    write.limit("lim:1", 1)
    write.enqueue(1, 2, limit_key="lim:1")
    write.run(1)
    write.run(2)
    write.trace.runs[1] = write.trace.runs[1]._replace(began=write.trace.runs[0].began)
    assert write.found() == set(), "a run is not taken to have begun before its claim"
    write.trace.moves[-2] = write.trace.moves[-2]._replace(at=write.trace.runs[0].began)
    assert "slots by the jobs' own word" in write.found()


def test_a_run_whose_claim_was_taken_away_takes_no_slot(write: Writer) -> None:
    write.limit("lim:1", 1)
    write.enqueue(1, 2, limit_key="lim:1")
    write.begin(1)
    write.move(1, "waiting")  # rescued, and its process does not say that it has ended
    write.begin(2)
    write.end(2)
    write.begin(1)
    write.end(1)
    assert write.found() == set()


def test_a_slot_that_is_handed_over_in_one_transaction_is_taken_once(write: Writer) -> None:
    write.limit("lim:1", 1)
    write.enqueue(1, 2, limit_key="lim:1", sequence="s")
    write.begin(1)
    write.now += 1.0
    xid = write.move(2, "running", xid=999)
    write.move(1, "completed", xid=xid)
    write.say(1, "ok", write.now - 0.1)
    write.trace.runs.append(Run(2, 1, 1, write.now + 0.1, None, "", holds=True))
    write.end(2)
    assert write.found() == set()


def test_too_many_at_once_in_a_queue_are_seen(write: Writer) -> None:
    write.setting("queues", "limited", concurrency=1, paused=False, rate=None)
    write.enqueue(1, 2, queue="limited")
    write.begin(1)
    write.begin(2)
    write.end(1)
    write.end(2)
    assert write.found() == {"slots of a queue"}


@pytest.mark.parametrize(("starts", "faults"), [(5, set()), (8, {"rate"})])
def test_more_starts_than_a_rate_allows_are_seen(write: Writer, starts: int, faults: set[str]) -> None:
    write.limit("rate:1", None, rate=2.0, seconds=1.0, burst=3.0)
    write.wait(5.0)
    jobs = list(range(1, starts + 2))
    write.enqueue(*jobs, limit_key="rate:1")
    write.run(jobs[0])
    write.wait(5.0)
    at = write.now
    for job in jobs[1:]:
        write.now = at  # all within a moment
        write.begin(job)
        write.now = at + 1
        write.end(job)
    assert write.found() == faults


def test_more_starts_than_the_rate_of_a_queue_allows_are_seen(write: Writer) -> None:
    write.setting("queues", "limited", paused=False, concurrency=None, rate=1.0, seconds=1.0, burst=None)
    write.enqueue(*range(1, 8), queue="limited")
    write.run(1)
    write.wait(5.0)
    at = write.now
    for job in range(2, 8):
        write.now = at
        write.begin(job)
        write.end(job)
    assert write.found() == {"rate"}


# -- Sequences -------------------------------------------------------------------------------------------------------


def test_two_jobs_of_a_sequence_at_once_are_seen(write: Writer) -> None:
    write.enqueue(1, 2, sequence="s")
    write.begin(1)
    write.begin(2)
    write.end(1)
    write.end(2)
    assert write.found() == {"two of a sequence", "order in a sequence"}


def test_a_run_that_a_stopped_worker_begins_too_late_takes_no_turn(write: Writer) -> None:
    write.limit("l", 1)
    write.enqueue(1, 2, sequence="s", limit_key="l")
    write.begin(1)
    write.trace.strikes.append(Strike("stop host", write.now, write.now + 3.0))
    write.move(1, "cancelled")
    write.trace.runs[0] = write.trace.runs[0]._replace(began=write.now + 1.0, ended=write.now + 1.5, holds=False)
    write.run(2)
    assert write.found() == set()


def test_a_job_that_overtakes_another_one_of_its_sequence_is_seen(write: Writer) -> None:
    write.enqueue(1, 2, sequence="s")
    write.run(2)
    write.run(1)
    assert write.found() == {"order in a sequence"}


def test_a_job_that_overtakes_a_retry_of_its_sequence_is_seen(write: Writer) -> None:
    write.enqueue(1, 2, sequence="s")
    write.begin(1)
    write.end(1, "waiting", "fail")
    write.run(2)
    write.run(1)
    assert write.found() == {"order in a sequence"}


def test_a_job_that_was_committed_just_now_may_be_overtaken(write: Writer) -> None:
    write.enqueue(2, sequence="s")
    write.wait(5.0)
    write.enqueue(1, sequence="s")
    write.now -= 0.9
    write.run(2)
    write.run(1)
    assert write.found() == set()


@pytest.mark.parametrize(("on_failure", "faults"), [("block", {"order in a sequence"}), ("skip", set())])
def test_a_job_that_runs_behind_a_dead_letter_is_seen(write: Writer, on_failure: str, faults: set[str]) -> None:
    write.enqueue(1, 2, sequence="s", on_failure=on_failure)
    write.begin(1)
    write.fail(1)
    write.run(2)
    assert write.found() == faults


def test_a_sequence_continues_when_its_dead_letter_is_discarded(write: Writer) -> None:
    write.enqueue(1, 2, sequence="s", on_failure="block")
    write.begin(1)
    write.fail(1)
    write.letter(1, "D")
    write.run(2)
    assert write.found() == set()


def test_a_job_that_runs_although_its_sequence_has_ended_is_seen(write: Writer) -> None:
    write.enqueue(1, 2, 3, sequence="s", on_failure="end")
    write.begin(1)
    xid = write.fail(1)
    write.move(2, "cancelled", xid=xid)
    assert "end of a sequence" not in write.found()
    write.run(3)
    assert "end of a sequence" in write.found()


# -- Ends ------------------------------------------------------------------------------------------------------------


def test_a_job_that_did_not_end_is_seen(write: Writer) -> None:
    write.enqueue(1)
    assert write.found() == {"no end"}


def test_a_job_without_a_row_is_seen(write: Writer) -> None:
    write.trace.calls[1] = {}
    assert write.found() == {"lost"}


def test_a_job_that_has_completed_without_a_run_is_seen(write: Writer) -> None:
    write.enqueue(1)
    write.move(1, "running")
    write.move(1, "completed")
    assert write.found() == {"lost"}


def test_a_row_that_is_gone_is_an_end_only_in_a_queue_that_keeps_nothing(write: Writer) -> None:
    for job, queue in ((1, "forgets"), (2, "mixed")):
        write.enqueue(job, queue=queue)
        write.begin(job)
        write.say(job, "ok", write.now + 0.5)
        write.move(job, "running", op="D")
    assert [fault.jobs for fault in audit(Histories(write.trace))] == [(2,)]


def test_a_failure_without_a_dead_letter_is_seen(write: Writer) -> None:
    write.enqueue(1)
    write.begin(1)
    write.end(1, "failed", "fail")
    assert write.found() == {"no letter"}


def test_a_job_of_a_transaction_that_was_rolled_back_is_seen(write: Writer) -> None:
    write.enqueue(1)
    write.run(1)
    del write.trace.calls[1]
    assert write.found() == {"ghost"}


def test_a_job_that_fails_more_often_than_it_may_is_seen(write: Writer) -> None:
    write.enqueue(1, about={"max_attempts": 2})
    for _ in range(3):
        write.begin(1)
        write.end(1, "waiting", "fail")
    write.run(1)
    assert write.found() == {"attempts"}


def test_a_failure_that_died_with_its_worker_is_not_counted(write: Writer) -> None:
    write.enqueue(1, about={"max_attempts": 1})
    write.begin(1)
    write.trace.strikes.append(Strike("kill worker", write.now + 0.6, write.now + 0.7))
    write.end(1, "waiting", "fail")
    write.wait(5.0)
    write.begin(1)
    write.fail(1)
    assert write.found() == set()


def test_a_failure_that_died_with_a_process_that_another_job_ended_is_not_counted(write: Writer) -> None:
    for job, word in ((1, "fail"), (2, "exit")):
        write.enqueue(job, about={"max_attempts": 1})
        write.begin(job)
        write.say(job, word, write.now + 0.5 + job / 10)
    write.wait(1.0)
    write.move(1, "waiting")
    write.wait(5.0)
    write.begin(1)
    write.fail(1)
    write.letter(2, "I", write.move(2, "failed"))
    assert write.found() == set()


def test_a_replayed_job_may_fail_as_often_again(write: Writer) -> None:
    write.enqueue(1, about={"max_attempts": 1})
    write.begin(1)
    write.fail(1)
    write.move(1, "waiting")
    write.begin(1)
    write.fail(1)
    assert write.found() == set()


def test_two_firings_of_a_schedule_that_allows_one_are_seen(write: Writer) -> None:
    write.move(1, "queued", task=TICK_ALONE)
    write.run(1)
    write.move(2, "queued", task=TICK_ALONE)
    assert write.found() == {"no end"}
    write.move(3, "queued", task=TICK_ALONE)
    write.run(2, 3)
    assert write.found() == {"schedule"}


# -- Jobs that wait for others ---------------------------------------------------------------------------------------


def test_a_job_that_does_not_wait_for_another_one_is_seen(write: Writer) -> None:
    write.enqueue(1)
    write.enqueue(2, about={"after": [1], "if_failed": "wait"})
    write.run(2)
    write.run(1)
    assert write.found() == {"after"}


@pytest.mark.parametrize(("if_failed", "faults"), [("wait", {"after"}), ("run", set())])
def test_a_job_that_runs_after_a_failure_has_to_want_that(write: Writer, if_failed: str, faults: set[str]) -> None:
    write.enqueue(1)
    write.enqueue(2, about={"after": [1], "if_failed": if_failed})
    write.begin(1)
    write.fail(1)
    write.run(2)
    assert write.found() == faults


@pytest.mark.parametrize(("stopped", "faults"), [(0.0, {"after"}), (6.0, set())])
def test_a_job_that_was_not_cancelled_with_the_one_it_waits_for_is_seen(
    write: Writer, stopped: float, faults: set[str]
) -> None:
    """Unless those who could have noticed were stopped meanwhile."""
    write.enqueue(1)
    write.enqueue(2, about={"after": [1], "if_failed": "cancel"})
    write.begin(1)
    write.fail(1)
    write.trace.strikes.append(Strike("stop worker", write.now, write.now + stopped))
    for other in (3, 4):  # there is a worker
        write.enqueue(other)
        write.run(other)
    write.letter(1, "D")
    write.run(1)
    write.run(2)
    assert write.found() == faults


def test_a_job_that_no_worker_was_there_to_cancel_is_excused(write: Writer) -> None:
    write.enqueue(1)
    write.enqueue(2, about={"after": [1], "if_failed": "cancel"})
    write.begin(1)
    write.fail(1)
    write.wait(6.0)  # without a claim
    write.letter(1, "D")
    write.run(1)
    write.run(2)
    assert write.found() == set()


# -- Unique keys -----------------------------------------------------------------------------------------------------


def test_two_jobs_with_one_key_at_once_are_seen(write: Writer) -> None:
    about = {"unique": ["key", "finished", "skip"]}
    write.enqueue(1, about=about)
    write.enqueue(2, about=about)
    write.run(1, 2)
    assert write.found() == {"unique key"}


@pytest.mark.parametrize(("until", "faults"), [("finished", {"unique key"}), ("started", set())])
def test_a_key_until_the_start_is_free_when_the_job_runs(write: Writer, until: str, faults: set[str]) -> None:
    about = {"unique": ["key", until, "skip"]}
    write.enqueue(1, about=about)
    write.begin(1)
    write.enqueue(2, about=about)
    write.end(1)
    write.run(2)
    assert write.found() == faults


def test_an_enqueue_that_replaces_a_job_changes_until_when_that_has_its_key(write: Writer) -> None:
    about = {"unique": ["key", "finished", "replace"]}
    write.enqueue(1, about=about)
    write.begin(1)
    write.enqueue(2, about=about)
    write.end(1)
    write.run(2)
    assert write.found() == {"unique key"}
    write.trace.unique_calls.append(UniqueCall("key", "started", "replace", 1, True, 101.5))
    assert write.found() == set()


def test_a_key_until_the_start_that_is_not_released_is_seen(write: Writer) -> None:
    write.enqueue(1, about={"unique": ["key", "started", "skip"]})
    write.move(1, "running")  # claimed, and handed back: it has not started
    write.move(1, "waiting")
    write.trace.unique_calls.append(UniqueCall("key", "started", "skip", 1, True, write.now + 0.1))
    write.begin(1)
    assert write.found() == {"no end"}
    write.trace.unique_calls.append(UniqueCall("key", "started", "skip", 1, True, write.now + 0.2))
    write.end(1)
    assert write.found() == {"unique key"}


def test_a_key_that_is_not_released_is_seen(write: Writer) -> None:
    write.enqueue(1, about={"unique": ["key", "finished", "skip"]})
    write.run(1)
    write.trace.unique_calls.append(UniqueCall("key", "finished", "skip", 1, True, write.now - 0.1))
    assert write.found() == set(), "it had not ended when the enqueue began"
    write.trace.unique_calls.append(UniqueCall("key", "finished", "skip", 1, True, write.now + 1.0))
    assert write.found() == {"unique key"}


def test_a_job_that_is_replayed_may_have_its_key_again(write: Writer) -> None:
    write.enqueue(1, about={"unique": ["key", "finished", "skip"]})
    write.run(1)
    write.move(1, "waiting")
    write.trace.unique_calls.append(UniqueCall("key", "finished", "skip", 1, True, write.now + 0.5))
    write.run(1)
    assert write.found() == set()


# -- Pauses, breakers, expiry, claims --------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [("queues", "mixed"), ("switch", "")])
def test_a_claim_while_all_is_paused_is_seen(write: Writer, kind: str, name: str) -> None:
    write.enqueue(1, 2)
    write.setting(kind, name, paused=True, concurrency=None, rate=None)
    write.now -= 0.5
    write.run(1)
    assert "pause" not in write.found(), "the claim may not have seen it"
    write.run(2)
    assert write.found() == {"pause"}


def test_a_run_of_a_paused_task_is_seen(write: Writer) -> None:
    write.enqueue(1)
    write.setting("paused_tasks", TASK, task=TASK)
    write.wait(5.0)
    write.run(1)
    assert write.found() == {"pause"}
    write.trace.settings.append(Setting(900, 900, write.now - 3.0, "paused_tasks", TASK, None))
    assert write.found() == set(), "it was resumed before"


@pytest.mark.parametrize(("until", "faults"), [(1000.0, {"breaker"}), (1.0, set())])
def test_a_claim_behind_an_open_breaker_is_seen(write: Writer, until: float, faults: set[str]) -> None:
    write.enqueue(1, breaker="b")
    write.setting("breakers", "b", state="open", until=until, probes=1, cooldown_seconds=60.0)
    write.wait(2.0)
    write.run(1)
    assert write.found() == faults


def test_more_probes_at_once_than_a_breaker_lets_through_are_seen(write: Writer) -> None:
    write.enqueue(1, 2, breaker="b")
    write.setting("breakers", "b", state="open", until=write.now + 1.0, probes=1, cooldown_seconds=60.0)
    write.wait(1.0)
    write.begin(1)
    write.begin(2)
    write.end(1)
    write.end(2)
    assert write.found() == {"breaker"}


def test_a_probe_that_takes_longer_than_a_cooldown_makes_room_for_another(write: Writer) -> None:
    write.enqueue(1, 2, breaker="b")
    write.setting("breakers", "b", state="open", until=write.now + 1.0, probes=1, cooldown_seconds=1.5)
    write.wait(1.0)
    write.begin(1)
    write.wait(1.0)
    write.begin(2)
    write.end(1)
    write.end(2)
    assert write.found() == set()


def test_a_run_of_a_job_that_had_expired_is_seen(write: Writer) -> None:
    write.enqueue(1, expires_at=write.now)
    write.wait(2.0)
    write.run(1)
    assert write.found() == {"expiry"}


def test_a_run_without_a_claim_is_seen_where_no_fault_explains_it(write: Writer) -> None:
    write.enqueue(1)
    write.run(1)
    write.trace.runs.append(Run(1, 7, 1, write.now, write.now, "ok", holds=True))
    assert write.found() == {"claim"}
    write.trace.strikes.append(Strike("server killed", write.now - 2.0, write.now - 1.0))
    assert write.found() == set()


def test_a_run_that_begins_when_its_claim_is_over_is_seen(write: Writer) -> None:
    write.enqueue(1)
    write.run(1)
    write.trace.runs[0] = write.trace.runs[0]._replace(holds=False)
    assert write.found() == {"claim"}


def test_a_claim_that_runs_twice_is_seen(write: Writer) -> None:
    write.enqueue(1)
    write.run(1)
    write.trace.runs.append(write.trace.runs[0]._replace(pid=2))
    assert write.found() == {"claim"}
