"""Enqueue, claim, acknowledge, report, retry, snooze, cancel, rescue, release, replay and retention, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from pgjobs import enqueue
from pgjobs.admin import cancel_jobs, discard_dead, replay_dead, retry_jobs
from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import Cancelled, Failed, KeptResult, Outcome, Released, Retried, Snoozed
from pgjobs.worker.claim.cursor import BEGINNING, END_OF_TIME, PRIORITIES
from pgjobs.worker.config import QueueSlots
from pgjobs.worker.runtime.completing import complete
from pgjobs.worker.runtime.job_claim import Claim as Fence
from pgjobs.worker.runtime.registration import register
from pgjobs.worker.runtime.settle import settle
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from tests.support import tasks
from tests.system.model.model import Claim, Job, Model

if TYPE_CHECKING:
    import psycopg

LATER = 3600.0  # seconds: nothing becomes due by itself while the test runs


def result_of(claim: Claim) -> KeptResult:
    """Return what this claim of a job returns."""
    return KeptResult(str(claim.claims).encode(), True, 60.0)


class Life(RuleBasedStateMachine):
    """Every rule does the same to the database and to the model; after each, both have to agree."""

    conn: psycopg.Connection

    def __init__(self) -> None:
        super().__init__()
        self.conn.execute(
            "TRUNCATE pgjobs.jobs, pgjobs.dead_jobs, pgjobs.workers, pgjobs.results, pgjobs.progress, pgjobs.job_steps"
        )
        self.cursor = self.conn.cursor(binary=True)
        self.model = Model()
        self.claims: list[Claim] = []  # all that there ever were: late and repeated outcomes are drawn from them
        self.workers = [self._worker(), self._worker()]

    def _worker(self) -> int:
        return register(self.conn, [QueueSlots("default")])

    def _claim_of(self, data: st.DataObject) -> Claim:
        late = [claim for claim in self.claims if self._is_running_under_another(claim)]
        wants_late: bool = data.draw(st.booleans(), label="a late one")
        chosen = late if late and wants_late else self.claims
        return data.draw(st.sampled_from(chosen), label="claim")

    def _is_running_under_another(self, claim: Claim) -> bool:
        return self.model.jobs[claim.job].status == "running" and not self.model.holds(claim)

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        held = self.model.holds(claim)
        stale = settle(self.cursor, claim.worker, "host", [(Fence(claim.job, claim.claims), outcome)])
        assert (not stale) is held

    # -- enqueueing and claiming

    @rule(most=st.integers(1, 3), later=st.booleans())
    def enqueue(self, most: int, later: bool) -> None:
        handle = enqueue(self.conn, tasks.nothing.options(max_attempts=most, delay=LATER if later else 0.0))
        self.model.jobs[handle.id] = Job(most, due=not later)

    @rule(demand=st.integers(1, 5), data=st.data())
    def claim(self, demand: int, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers), label="worker")
        rows = self.cursor.execute(
            statement("claim"),
            {
                "priorities": PRIORITIES,
                "run_ats": [BEGINNING[0]] * 10,
                "ids": [BEGINNING[1]] * 10,
                "untils": [END_OF_TIME] * 10,
                "counted_queue": None,
                "queue": "default",
                "demand": demand,
                "worker_id": worker,
            },
        ).fetchall()
        assert len(rows) == min(demand, len(self.model.due()))
        for row in rows:
            claim = self.model.claim(row[0], worker)
            assert claim.claims == row[1]
            self.claims.append(claim)

    # -- outcomes: of any claim there ever was, so most come too late

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), keeps=st.booleans())
    def complete(self, data: st.DataObject, keeps: bool) -> None:
        claim = self._claim_of(data)
        good = self.model.holds(claim) or self.model.completed(claim)
        results = {claim.job: result_of(claim)} if keeps else None
        stale = complete(self.cursor, claim.worker, [claim.job], [claim.claims], results=results)
        assert (not stale) is good
        self.model.complete(claim, keeps=keeps)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), step=st.booleans())
    def report_or_do_a_step(self, data: st.DataObject, step: bool) -> None:
        claim = self._claim_of(data)
        if step:
            values = {"id": claim.job, "key": "k", "value": str(claim.claims).encode(), "signature": None}
            self.cursor.execute(statement("write_step"), values)
            self.model.do_step(claim)
        else:
            values = {"ids": [claim.job], "claim_numbers": [claim.claims], "dones": [float(claim.claims)]}
            self.cursor.execute(
                statement("write_progress"), {**values, "totals": [None], "messages": [None], "states": [None]}
            )
            self.model.report(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), later=st.booleans())
    def error(self, data: st.DataObject, later: bool) -> None:
        claim = self._claim_of(data)
        job = self.model.jobs[claim.job]
        self._settle(claim, Failed("no") if job.attempt >= job.most else Retried("no", LATER if later else 0.0))
        self.model.error(claim, later=later)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), later=st.booleans())
    def snooze(self, data: st.DataObject, later: bool) -> None:
        claim = self._claim_of(data)
        self._settle(claim, Snoozed(LATER if later else 0.0))
        if self.model.holds(claim):
            self.model.jobs[claim.job].due = True
        self.model.take_back(claim, later=later, began=True)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), began=st.booleans())
    def release(self, data: st.DataObject, began: bool) -> None:
        claim = self._claim_of(data)
        self._settle(claim, Released(began=began))
        self.model.take_back(claim, began=began)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def cancel_itself(self, data: st.DataObject) -> None:
        claim = self._claim_of(data)
        self._settle(claim, Cancelled("enough"))
        self.model.cancel_itself(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), keeps=st.booleans())
    def complete_many(self, data: st.DataObject, keeps: bool) -> None:
        worker = data.draw(st.sampled_from(self.workers), label="worker")
        chosen = [claim for claim in self.claims if claim.worker == worker]
        latest = {claim.job: claim for claim in chosen}
        good = {c.job for c in latest.values() if self.model.holds(c) or self.model.completed(c)}
        if latest:
            ids, numbers = list(latest), [claim.claims for claim in latest.values()]
            results = {job: result_of(claim) for job, claim in latest.items()} if keeps else None
            assert set(complete(self.cursor, worker, ids, numbers, results=results)) == set(ids) - good
        for claim in latest.values():
            self.model.complete(claim, keeps=keeps)

    # -- a worker dies

    @rule(data=st.data())
    def rescue(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, 1), label="worker")
        dead = self.workers[index]
        running = [c for c in self.claims if c.worker == dead and self.model.holds(c)]
        started = {c for c in running if data.draw(st.booleans(), label=f"{c.job} had started")}
        fences = frozenset(Fence(c.job, c.claims) for c in started)
        assert settle_dead_worker(self.conn, WorkerExit(dead, "killed by SIGKILL", fences)) == len(running)
        for claim in running:
            if claim in started:
                self.model.error(claim, later=True)  # the default backoff
            else:
                self.model.take_back(claim)
        self.workers[index] = self._worker()

    # -- operators

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.jobs)), label="job")
        cancel_jobs(self.conn, [number])
        self.model.cancel(number)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.jobs)), label="job")
        retry_jobs(self.conn, [number])
        self.model.again(number)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), away=st.booleans())
    def replay_or_discard(self, data: st.DataObject, away: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.jobs)), label="job")
        (discard_dead if away else replay_dead)(self.conn, [number])
        (self.model.discard if away else self.model.replay)(number)

    @rule()
    def forget_what_has_finished(self) -> None:
        """Do what retention does to a whole day."""
        self.conn.execute("DELETE FROM pgjobs.jobs_history WHERE status <> 'failed'")
        gone = [number for number, job in self.model.jobs.items() if job.status in ("completed", "cancelled")]
        for number in gone:
            del self.model.jobs[number]
        self.claims = [claim for claim in self.claims if claim.job in self.model.jobs]

    # -- what has to hold after each step

    @invariant()
    def they_agree(self) -> None:
        rows: list[Any] = self.conn.execute(
            """
            SELECT j.id, j.status, j.attempt, j.claims, j.max_attempts, coalesce(j.prior_attempts, 0),
                   CASE j.status WHEN 'running' THEN j.worker_id END,
                   j.status <> 'queued' OR j.run_at <= now(), d.id IS NOT NULL,
                   j.attempt > 0 OR j.prior_attempts IS NOT NULL
            FROM pgjobs.jobs AS j LEFT JOIN pgjobs.dead_jobs AS d USING (id) ORDER BY id
            """
        ).fetchall()
        wanted = [
            (
                *(number, job.status, job.attempt, job.claims, job.most, job.prior),
                job.worker if job.status == "running" else None,
                job.status != "queued" or job.due,
                job.letter,
                job.has_started(),
            )
            for number, job in sorted(self.model.jobs.items())
        ]
        assert rows == wanted

    @invariant()
    def what_is_kept_beside_a_job_is_there_once(self) -> None:
        rows: list[Any] = self.conn.execute(
            """
            SELECT j.id, (SELECT string_agg(convert_from(r.value, 'UTF8'), ' ') FROM pgjobs.results AS r
                          WHERE r.job_id = j.id),
                   p.done, convert_from(s.value, 'UTF8')
            FROM pgjobs.jobs AS j
            LEFT JOIN pgjobs.progress AS p ON p.job_id = j.id
            LEFT JOIN pgjobs.job_steps AS s ON s.job_id = j.id
            ORDER BY j.id
            """
        ).fetchall()
        wanted = [
            (number, None if job.result is None else str(job.result), job.said, job.step and str(job.step))
            for number, job in sorted(self.model.jobs.items())
        ]
        assert rows == wanted

    @invariant()
    def each_error_is_kept(self) -> None:
        rows = self.conn.execute(
            """
            SELECT id, jsonb_array_length(errors) FROM pgjobs.dead_jobs UNION ALL
            SELECT id, jsonb_array_length(errors) FROM pgjobs.jobs_live WHERE errors IS NOT NULL
            """
        ).fetchall()
        for number, errors in rows:
            assert errors == self.model.jobs[number].errors


def test_the_tables_do_what_the_model_does_whatever_happens(conn: psycopg.Connection) -> None:
    class LifeHere(Life):
        pass

    LifeHere.conn = conn
    run_state_machine_as_test(LifeHere, settings=settings(max_examples=25, stateful_step_count=40, deadline=None))
